"""Hold ready-made times, because a page of 100 records carries two thousand of them."""

from datetime import UTC, datetime, timedelta

from acsync.simulator.chance import draw

COUNT = 8192
ZERO_DATE = "0000-00-00"
ZERO_TIME = "0000-00-00 00:00:00"
_FIRST = datetime(2021, 1, 4, 8, 15, tzinfo=UTC)


def _local_time(number: int) -> datetime:
    return _FIRST + timedelta(hours=6 * number, seconds=draw(number) % 20_000)


def _offset(moment: datetime) -> str:
    """Give the account's zone, which moves with DST inside one record."""
    return "-05:00" if (3, 11) <= (moment.month, moment.day) < (11, 4) else "-06:00"


_TIMES = tuple(_local_time(number) for number in range(COUNT))
NAIVE = tuple(moment.strftime("%Y-%m-%d %H:%M:%S") for moment in _TIMES)
"""Account-local, as in `created_timestamp` and, in spite of its name, `created_utc_timestamp`."""

STAMPS = tuple(
    text.replace(" ", "T") + _offset(moment) for text, moment in zip(NAIVE, _TIMES, strict=True)
)
DAYS = tuple(text[:10] for text in NAIVE)


def created_and_updated(bits: int, version: int) -> tuple[int, int]:
    """Give the places of both times in the tables; every version was updated at its own."""
    created = bits % 5000
    return created, (created + bits % 997 + version) % COUNT
