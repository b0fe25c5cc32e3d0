"""Show whether the data is fresh, which sync is running, and what went wrong."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

from acsync.datasets import DatasetName
from acsync.errors import sanitize
from acsync.local.embedded_postgres import is_embedded, psql_command
from acsync.schedule import INTERVAL
from acsync.settings import Settings
from acsync.store.database import Database
from acsync.store.sync_history import (
    RunningSync,
    SyncRecord,
    SyncStatus,
    read_status,
    read_syncs,
)
from acsync.store.sync_totals import Failing, read_failing, read_periods
from acsync.web.charts import Chart, make_charts
from acsync.web.freshness import Freshness, describe, judge, worst

HEIGHTS = 20  # steps of the strip's bars, as in dashboard.css
STRIP_SYNCS, TABLE_SYNCS = 50, 10
COLUMNS = ("records", "added", "updated", "deleted", "calls", "refused")

# The parameters of a connection that everybody may see, and their options of psql.
SHOWN_BY_PSQL = (("host", "-h"), ("port", "-p"), ("user", "-U"), ("dbname", "-d"))

# If a sync starts later than this many intervals after the one before, syncs are missing.
LATE = 1.6


@dataclass(frozen=True)
class Bar:
    """One sync of the strip, or an interval without one; `height` is from 1 to HEIGHTS."""

    outcome: str
    title: str
    height: int


@dataclass(frozen=True)
class Row:
    """One sync of the table, as text; the numbers are those of COLUMNS."""

    started: str
    duration: str
    numbers: tuple[str, ...]
    outcome: str
    reason: str
    url: str | None


@dataclass(frozen=True)
class Live:
    """The part of the page that changes by the second."""

    account: str
    at: datetime
    status: SyncStatus
    datasets: tuple[Freshness, ...]
    failing: Failing | None
    runs: tuple[SyncRecord, ...]

    @property
    def worst(self) -> Freshness:
        """Return the dataset whose verdict is the page's verdict."""
        return worst(self.datasets)

    @property
    def running(self) -> RunningSync | None:
        """Return the sync in progress."""
        return self.status.running

    @property
    def notices(self) -> tuple[str, ...]:
        """Return warnings about the last finished sync, which was published."""
        last = next((one for one in self.runs if one.success is not None), None)
        notices = list(self.status.warnings)
        if last and (masked := last.total("masked")):
            notices.append(
                f"{masked:,} deals are masked: the key's user cannot see their pipeline. They keep "
                "the content they had when they were last visible. To see them again, let the "
                "user see that pipeline."
            )
        if last and last.learned_rate:
            notices.append(
                f"The account refused calls: it allows about {last.learned_rate:.1f} per second, "
                "and syncs keep to that."
            )
        return tuple(notices)


def read_live(database: Database, account: str, datasets: Sequence[DatasetName]) -> Live:
    """Read the live part with some small queries; none reads a table of records."""
    status = read_status(database)
    with database.begin() as connection:
        runs, failing = read_syncs(connection, STRIP_SYNCS), read_failing(connection)
    now = datetime.now(UTC)
    return Live(account, now, status, judge(status, datasets, now), failing, runs)


def read_charts(database: Database) -> list[Chart]:
    """Read the charts of the last week."""
    with database.begin() as connection:
        return make_charts(read_periods(connection, days=7, hours=6))


def make_strip(runs: Sequence[SyncRecord]) -> list[Bar]:
    """Return one bar per sync, the oldest first, and a grey one per missed interval."""
    longest = max((one.duration_ms or 0 for one in runs), default=0) or 1
    bars: list[Bar] = []
    before: datetime | None = None
    for one in reversed(runs):
        if before and one.started - before > LATE * INTERVAL:
            missed = round((one.started - before) / INTERVAL) - 1
            title = f"no sync between {before:%Y-%m-%d %H:%M} and {one.started:%Y-%m-%d %H:%M} UTC"
            bars += [Bar("none", title, 1)] * min(missed, STRIP_SYNCS)
        height = max(1, round((one.duration_ms or 0) / longest * HEIGHTS))
        bars.append(Bar(outcome_of(one), _title(one), height))
        before = one.started
    bars = bars[-STRIP_SYNCS:]
    return [Bar("none", "no sync yet", 1)] * (STRIP_SYNCS - len(bars)) + bars


def make_rows(runs: Sequence[SyncRecord], url_of: Callable[[str], str | None]) -> list[Row]:
    """Return the last syncs as text; `url_of` returns the address of a flow run."""
    return [
        Row(
            f"{one.started.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            duration_of(one),
            tuple(_number(one, count) for count in _counts(one)),
            outcome_of(one),
            reason_of(one),
            url_of(one.flow_run_id) if one.flow_run_id else None,
        )
        for one in runs[:TABLE_SYNCS]
    ]


def _counts(one: SyncRecord) -> list[int | None]:
    changes = [one.total(change) for change in ("records", "added", "updated", "deleted")]
    return [*changes, one.calls, one.refused]


def _number(one: SyncRecord, count: int | None) -> str:
    return "–" if count is None or one.success is None else f"{count:,}"


def outcome_of(one: SyncRecord) -> str:
    """Return running, complete, failed, or partly (only one dataset was published)."""
    if one.success is None:
        return "running"
    if one.success:
        return "complete"
    return "partly" if any(dataset.success for dataset in one.datasets.values()) else "failed"


def reason_of(one: SyncRecord) -> str:
    """Return why datasets failed; empty if none did."""
    failed = {name: dataset.error for name, dataset in one.datasets.items() if dataset.error}
    return sanitize(" ".join(f"{name}: {error}" for name, error in failed.items()))


def duration_of(one: SyncRecord) -> str:
    """Return the duration in minutes and seconds."""
    if one.duration_ms is None:
        return "–"
    minutes, seconds = divmod(round(one.duration_ms / 1000), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _title(one: SyncRecord) -> str:
    counts = [
        f"{dataset.count:,} {name}"
        for name, dataset in one.datasets.items()
        if dataset.count is not None
    ]
    words = [f"{one.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC", outcome_of(one)]
    words += [duration_of(one)] if one.duration_ms is not None else []
    return ", ".join([*words, *counts]) + (f": {reason}" if (reason := reason_of(one)) else "")


def progress_lines(running: RunningSync) -> list[tuple[str, int, int]]:
    """Return name, records and expected records of each dataset that is planned."""
    return [
        (name, min(one.records, one.expected), one.expected)
        for name, one in running.progress.items()
        if one.expected
    ]


def time_left(running: RunningSync) -> str | None:
    """Return how long copying will take; None if that is not known."""
    seconds = running.now.seconds_left
    return None if seconds is None else describe(timedelta(seconds=seconds))


def psql_line(settings: Settings, database: Database) -> str:
    """Return a shell line that opens psql, with host, port, user and database of the URL only.

    libpq reads secrets from the query of a URL too: `?password=…&sslpassword=…`.
    """
    if is_embedded(settings):
        return psql_command(settings.data_dir)
    _, parameters = database.engine.dialect.create_connect_args(database.engine.url)
    shown = [
        (option, str(parameters[name])) for name, option in SHOWN_BY_PSQL if parameters.get(name)
    ]
    return shlex.join(["psql", *chain.from_iterable(shown)])
