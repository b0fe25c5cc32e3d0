"""Invent values, and fill them into the JSON templates of rows."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import orjson

from acsync.models import Record

_FOLDER = files(__package__) / "templates"


class Template:
    """One kind of row: its keys in the API's order, each with a sample or its constant value.

    The links are half the bytes of a row, so they are kept as JSON, cut where the id goes.
    """

    def __init__(self, row: Record) -> None:
        self._row = row
        self._links = orjson.dumps(row["links"]).split(b"{id}")

    def new(self, row_id: int | str) -> Record:
        """Return a new row with this id and its links; lists in it are shared."""
        row = self._row.copy()
        row["id"] = text = str(row_id)
        row["links"] = orjson.Fragment(text.encode().join(self._links))
        return row


def load(name: str) -> Any:
    """Return what is in `templates/<name>.json`."""
    return orjson.loads((_FOLDER / f"{name}.json").read_bytes())


ZERO_DATE = "0000-00-00"
ZERO_TIME = "0000-00-00 00:00:00"


def draw(*numbers: int) -> int:
    """Return up to 63 bits that look random and are the same for the same non-negative numbers."""
    # CPython hashes a tuple of ints without the per-process salt that strings get, in 60 ns.
    bits = hash(numbers) & 0x7FFF_FFFF_FFFF_FFFF
    return bits ^ (bits >> 31)


# Times: made once, because a page of 100 records carries two thousand of them.

TIMES = 8192
_FIRST = datetime(2021, 1, 4, 8, 15, tzinfo=UTC)


def _local_time(number: int) -> datetime:
    return _FIRST + timedelta(hours=6 * number, seconds=draw(number) % 20_000)


def _with_offset(moment: datetime) -> str:
    """Add the offset of the account's time zone, which moves with DST inside one record."""
    summer = (3, 11) <= (moment.month, moment.day) < (11, 4)
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'-05:00' if summer else '-06:00'}"


_MOMENTS = [_local_time(number) for number in range(TIMES)]
STAMPS = tuple(_with_offset(moment) for moment in _MOMENTS)
# Account-local, as in `created_timestamp` and, in spite of its name, `created_utc_timestamp`.
NAIVE = tuple(f"{moment:%Y-%m-%d %H:%M:%S}" for moment in _MOMENTS)


def created_and_updated(bits: int, version: int) -> tuple[int, int]:
    """Return the places of both times in the tables; each version has its own update time."""
    created = bits % 5000
    return created, (created + bits % 997 + version) % TIMES


# Texts

_TEXTS: dict[str, list[str]] = load("texts")
FIRST_NAMES, LAST_NAMES = _TEXTS["first_names"], _TEXTS["last_names"]
COMPANIES, WORDS, PHONES = _TEXTS["companies"], _TEXTS["words"], _TEXTS["phones"]
ODD_TEXTS = _TEXTS["odd_texts"]  # each was a bug somewhere


def text(bits: int) -> str:
    """Return two words and a number, or in one of 25 cases an odd text."""
    if bits % 25 == 0:
        return ODD_TEXTS[draw(bits) % len(ODD_TEXTS)]
    return f"{WORDS[bits % 16]} {WORDS[(bits >> 8) % 16]} {bits % 9973}"


def name(bits: int, names: list[str]) -> str:
    """Return one of `names`, sometimes an odd text or ""."""
    case = bits % 60
    if case < 3:
        return "" if case else ODD_TEXTS[draw(bits) % len(ODD_TEXTS)]
    return names[(bits >> 8) % len(names)]
