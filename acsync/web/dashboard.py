"""Make the dashboard: whether the data is fresh, what runs now, and what went wrong."""

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
from acsync.store.history import (
    STRIP_SYNCS,
    Failing,
    LoggedRun,
    read_failing,
    read_periods,
    read_runs,
)
from acsync.store.status import RunningSync, SyncStatus, read_status
from acsync.web.charts import Chart, make_charts
from acsync.web.freshness import Freshness, describe, judge, worst

HEIGHTS = 20  # steps of the strip's bars, as in dashboard.css
TABLE_SYNCS = 10
COLUMNS = ("records", "added", "updated", "deleted", "calls", "refused")

# The parameters of a connection that everybody may see, and their options of psql.
SHOWN_BY_PSQL = (("host", "-h"), ("port", "-p"), ("user", "-U"), ("dbname", "-d"))

# A start this much later than the interval means that the syncs between were not made.
LATE = 1.6


@dataclass(frozen=True)
class Bar:
    """One sync of the strip, or an interval without; the height is a step from 1 to HEIGHTS."""

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
    """What the page shows of this moment; the rest of it changes slowly."""

    account: str
    at: datetime
    status: SyncStatus
    datasets: tuple[Freshness, ...]
    failing: Failing | None
    runs: tuple[LoggedRun, ...]

    @property
    def worst(self) -> Freshness:
        """Return the dataset that stands for all."""
        return worst(self.datasets)

    @property
    def running(self) -> RunningSync | None:
        """Return the sync in progress."""
        return self.status.running

    @property
    def notices(self) -> tuple[str, ...]:
        """Return what is odd about the last finished sync although it was published."""
        last = next((one for one in self.runs if one.success is not None), None)
        notices = list(self.status.warnings)
        if last and last.masked:
            notices.append(
                f"{last.masked:,} deals are masked: the key's user may not see their pipeline. "
                "They keep the content they had when they could last be seen"
            )
        if last and last.learned_rate:
            notices.append(
                f"the account refused calls: it allows about {last.learned_rate:.1f} a second, and "
                "syncs keep to that"
            )
        return tuple(notices)


def read_live(database: Database, account: str, datasets: Sequence[DatasetName]) -> Live:
    """Read the live part: some small queries, none of a table with records."""
    status = read_status(database)
    with database.begin() as connection:
        runs, failing = read_runs(connection), read_failing(connection)
    now = datetime.now(UTC)
    return Live(account, now, status, judge(status, datasets, now), failing, runs)


def read_charts(database: Database) -> dict[str, list[Chart]]:
    """Read the charts of a week and of a month."""
    with database.begin() as connection:
        return {
            "Last 7 days": make_charts(read_periods(connection, days=7, hours=6)),
            "Last 30 days": make_charts(read_periods(connection, days=30, hours=24)),
        }


def make_strip(runs: Sequence[LoggedRun]) -> list[Bar]:
    """Return a bar a sync, the oldest first, and a grey one for each interval without."""
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


def make_rows(runs: Sequence[LoggedRun], url_of: Callable[[str], str | None]) -> list[Row]:
    """Return the last syncs as text; `url_of` gives the address of a flow run."""
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


def _counts(one: LoggedRun) -> list[int | None]:
    changes = [one.total(change) for change in ("count", "added", "updated", "deleted")]
    return [*changes, one.calls, one.refused]


def _number(one: LoggedRun, count: int | None) -> str:
    return "–" if count is None or one.success is None else f"{count:,}"


def outcome_of(one: LoggedRun) -> str:
    """Return running, complete, partly (a dataset failed, another was published) or failed."""
    if one.success is None:
        return "running"
    if one.success:
        return "complete"
    return "partly" if any(dataset.success for dataset in one.datasets.values()) else "failed"


def reason_of(one: LoggedRun) -> str:
    """Return why datasets failed; nothing where none did."""
    failed = {name: dataset.error for name, dataset in one.datasets.items() if dataset.error}
    return sanitize(" ".join(f"{name}: {error}" for name, error in failed.items()))


def duration_of(one: LoggedRun) -> str:
    """Return the duration in minutes and seconds."""
    if one.duration_ms is None:
        return "–"
    minutes, seconds = divmod(round(one.duration_ms / 1000), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _title(one: LoggedRun) -> str:
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
    """Return how long copying goes on; None where that is not known."""
    seconds = running.now.seconds_left
    return None if seconds is None else describe(timedelta(seconds=seconds))


def psql_line(settings: Settings, database: Database) -> str:
    """Return a shell line that opens psql: host, port, user and database of the URL, no more.

    libpq reads secrets from the query of a URL too: `?password=…&sslpassword=…`.
    """
    if is_embedded(settings):
        return psql_command(settings.data_dir)
    _, parameters = database.engine.dialect.create_connect_args(database.engine.url)
    shown = [
        (option, str(parameters[name])) for name, option in SHOWN_BY_PSQL if parameters.get(name)
    ]
    return shlex.join(["psql", *chain.from_iterable(shown)])
