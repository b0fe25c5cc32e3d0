"""Show whether the data is fresh, which sync is running, and what went wrong."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain

from acsync.datasets import DatasetName
from acsync.errors import sanitize
from acsync.local.embedded_postgres import is_embedded, psql_command
from acsync.settings import Settings
from acsync.spelling import spell, spell_age, spell_count
from acsync.store.database import Database
from acsync.store.sync_history import (
    Failing,
    Period,
    SyncRecord,
    read_failing,
    read_periods,
    read_syncs,
)
from acsync.store.sync_status import RunningSync, SyncStatus, read_status
from acsync.store.verification import Verifications, read_verifications
from acsync.sync.report import describe_recall, error_lines
from acsync.web.freshness import Judgement, judge
from flows.runs import run_url

# Pixels of the strip's highest bar.
HEIGHT = 80
STRIP_SYNCS, TABLE_SYNCS = 50, 10
COLUMNS = ("records", "added", "updated", "deleted", "calls", "refused")
MARKS = {"complete": "✓", "partly": "◐", "failed": "✕", "running": "…", "none": ""}

# The parameters of a connection that everybody may see, and their options of psql.
SHOWN_BY_PSQL = (("host", "-h"), ("port", "-p"), ("user", "-U"), ("dbname", "-d"))

# If a sync starts later than this many intervals after the one before, syncs are missing.
LATE = 1.6


@dataclass(frozen=True)
class Bar:
    """One sync of the strip, or an interval without one; `height` is in pixels."""

    outcome: str
    title: str
    height: int


@dataclass(frozen=True)
class Row:
    """One sync of the table; the numbers are those of COLUMNS."""

    started: datetime
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
    judgement: Judgement
    failing: Failing | None
    runs: tuple[SyncRecord, ...]
    verifications: Verifications

    @property
    def running(self) -> RunningSync | None:
        """Return the sync in progress."""
        return self.status.running

    @property
    def verified(self) -> str:
        """Return the result of the last verification in one sentence; empty if there was none."""
        results = [
            f"{last.counts.sampled:,} {name}: {last.counts.different or 'none'} different"
            for name, last in self.verifications.items()
        ]
        return f"{'; '.join(results)}." if results else ""

    @property
    def verified_at(self) -> datetime | None:
        """Return when records were last compared with the account."""
        return max((last.verified_at for last in self.verifications.values()), default=None)

    @property
    def notices(self) -> tuple[str, ...]:
        """Return what the last finished syncs warned of, saw and missed, as sentences."""
        notices = [f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in self.status.warnings]
        latest = self.status.latest
        if latest and (masked := latest.total("masked")):
            notices.append(
                f"{spell_count(masked, 'deal is', 'deals are')} masked: the key's user cannot see "
                "the pipeline. Masked deals keep the content they had when they were last visible. "
                "To see them again, let the user see that pipeline."
            )
        if latest and latest.learned_rate:
            notices.append(
                f"The account refused calls: it allows about {latest.learned_rate:.1f} per second, "
                "and syncs keep to that."
            )
        for name, last in self.verifications.items():
            if last.counts.different:
                notices.append(
                    f"{last.counts.different:,} of {last.counts.sampled:,} verified {name} differ "
                    f"from the account. To see which, run: acsync verify --only {name}"
                )
        for name, dataset in latest.datasets.items() if latest else ():
            if dataset.recall and (recall := describe_recall(dataset.recall)):
                notices.append(f"{name.capitalize()}: {recall}.")
        return tuple(notices)


def read_live(database: Database, account: str, datasets: Sequence[DatasetName]) -> Live:
    """Read the live part with some small queries; none reads a table of records."""
    status = read_status(database)
    with database.begin() as connection:
        runs, failing = read_syncs(connection, STRIP_SYNCS), read_failing(connection)
        verifications = read_verifications(connection)
    now = datetime.now(UTC)
    judgement = judge(status, datasets, now)
    return Live(account, now, status, judgement, failing, runs, verifications)


def read_week(database: Database) -> tuple[Period, ...]:
    """Read the points of the charts: one per six hours with a finished sync."""
    with database.begin() as connection:
        return read_periods(connection, days=7, hours=6)


def next_steps(
    account: str | None, is_scheduled: bool, interval: timedelta
) -> list[tuple[str, str]]:
    """Return what to do before the first sync: a sentence and a command each."""
    option = f" --account {shlex.quote(account)}" if account else ""
    steps = [
        ("Check the key, the database and Prefect:", f"acsync check{option}"),
        ("Copy the account once:", f"acsync sync{option}"),
    ]
    if is_scheduled:
        return [*steps, ("The schedule exists. It needs a worker:", "acsync worker")]
    schedule = f"acsync deploy{option}\nacsync worker"
    return [*steps, (f"Or copy it every {spell(interval)}, with a Prefect server:", schedule)]


def make_strip(runs: Sequence[SyncRecord], interval: timedelta) -> list[Bar]:
    """Return one bar per sync, the oldest first, and a grey one per missed interval."""
    longest = max((sync.duration_ms or 0 for sync in runs), default=0) or 1
    bars: list[Bar] = []
    before: datetime | None = None
    for sync in reversed(runs):
        if before and sync.started - before > LATE * interval:
            missed = round((sync.started - before) / interval) - 1
            title = f"no sync between {before:%Y-%m-%d %H:%M} and {sync.started:%Y-%m-%d %H:%M} UTC"
            bars += [Bar("none", title, 2)] * min(missed, STRIP_SYNCS)
        height = max(4, round((sync.duration_ms or 0) / longest * HEIGHT))
        bars.append(Bar(outcome_of(sync), _title(sync), height))
        before = sync.started
    bars = bars[-STRIP_SYNCS:]
    return [Bar("none", "no sync yet", 2)] * (STRIP_SYNCS - len(bars)) + bars


def make_rows(runs: Sequence[SyncRecord]) -> list[Row]:
    """Return the last syncs as text."""
    return [
        Row(
            sync.started,
            duration_of(sync),
            tuple("–" if count is None else f"{count:,}" for count in _counts(sync)),
            outcome_of(sync),
            reason_of(sync),
            run_url(sync.flow_run_id) if sync.flow_run_id else None,
        )
        for sync in runs[:TABLE_SYNCS]
    ]


def _counts(sync: SyncRecord) -> list[int | None]:
    """Return the numbers of COLUMNS, those of the records only if some were published."""
    is_published = any(dataset.success for dataset in sync.datasets.values())
    changes = [
        sync.total(field) if is_published else None
        for field in ("records", "added", "updated", "deleted")
    ]
    return [*changes, sync.calls, sync.refused]


def outcome_of(sync: SyncRecord) -> str:
    """Return running, complete, failed, or partly (only one dataset was published)."""
    if sync.success is None:
        return "running"
    if sync.success:
        return "complete"
    return "partly" if any(dataset.success for dataset in sync.datasets.values()) else "failed"


def reason_of(sync: SyncRecord) -> str:
    """Return why datasets failed, without advice; empty if none did."""
    return sanitize("; ".join(error_lines(sync, is_short=True)))


def duration_of(sync: SyncRecord) -> str:
    """Return the duration in minutes and seconds."""
    if sync.duration_ms is None:
        return "–"
    minutes, seconds = divmod(round(sync.duration_ms / 1000), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _title(sync: SyncRecord) -> str:
    counts = [
        f"{dataset.count:,} {name}"
        for name, dataset in sync.datasets.items()
        if dataset.count is not None
    ]
    parts = [f"{sync.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC", outcome_of(sync)]
    parts += [duration_of(sync)] if sync.duration_ms is not None else []
    return ", ".join([*parts, *counts]) + (f": {reason}" if (reason := reason_of(sync)) else "")


def time_left(running: RunningSync) -> str | None:
    """Return how long copying will take; None if that is not known."""
    seconds = running.now.seconds_left
    return None if seconds is None else spell_age(timedelta(seconds=seconds))


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
