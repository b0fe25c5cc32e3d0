"""Read how the syncs went, what is published, and how far a running sync is."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.models import Pace, RefusedRate, SyncProgress, Warnings
from acsync.store.database import Database, run
from acsync.store.lease import ALIVE

RECENT_SYNCS = 10

# The fields of a LoggedSync, which are the columns of the view ac_latest_sync.
LOGGED_SYNC = """
    sync_id, "timestamp", total_duration_ms,
    round(total_duration_ms / 1000.0, 2) as duration_seconds,
    round(total_duration_ms / 60000.0, 2) as duration_minutes,
    contacts_success, contacts_count, contacts_error,
    deals_success, deals_count, deals_error, overall_success
"""

RUNNING = f"""
    select sync_id, "timestamp", contacts_expected, deals_expected, progress
    from (select sync_no, progress from {{schema}}.ac_lease where {ALIVE}) as lease
    join {{schema}}.ac_sync_logs as log on log.id = sync_no
    where overall_success is null
"""


@dataclass(frozen=True)
class LoggedSync:
    """One row of the log, with the columns of the view `ac_latest_sync`.

    `overall_success` is None while the sync is running, and a dataset's columns are None where it
    was not asked for.
    """

    sync_id: str
    timestamp: datetime
    total_duration_ms: int | None
    duration_seconds: Decimal | None
    duration_minutes: Decimal | None
    contacts_success: bool | None
    contacts_count: int | None
    contacts_error: str | None
    deals_success: bool | None
    deals_count: int | None
    deals_error: str | None
    overall_success: bool | None


@dataclass(frozen=True)
class DatasetProgress:
    """Records staged so far, and how many are expected; None before the dataset is planned."""

    records: int
    expected: int | None


@dataclass(frozen=True)
class RunningSync:
    """The sync that holds the lease; `now` is how far it was at its last heartbeat."""

    sync_id: str
    started: datetime
    progress: dict[DatasetName, DatasetProgress]
    now: SyncProgress


@dataclass(frozen=True)
class SyncStatistics:
    """The syncs of the last seven days; `success_rate` in percent, None where there was none."""

    total_syncs: int
    successful_syncs: int
    success_rate: Decimal | None
    avg_duration_seconds: Decimal | None
    last_sync_time: datetime | None


@dataclass(frozen=True)
class PublishedDataset:
    """A dataset as published at `synced_at`; nothing of it was read before `read_from`."""

    record_count: int
    synced_at: datetime
    read_from: datetime


@dataclass(frozen=True)
class SyncStatus:
    """How the syncs went and what is published; `recent` begins with the newest sync.

    `warnings` are those of the latest sync.
    """

    latest: LoggedSync | None
    running: RunningSync | None
    recent: tuple[LoggedSync, ...]
    statistics: SyncStatistics
    published: dict[DatasetName, PublishedDataset]
    last_success: datetime | None
    warnings: Warnings = ()

    def as_json(self) -> dict[str, Any]:
        """Return the payload of GET /api/sync-status."""
        rate, duration = self.statistics.success_rate, self.statistics.avg_duration_seconds
        return {
            "currentStatus": _as_json(self.latest),
            "running": self.running
            and {
                "sync_id": self.running.sync_id,
                "started": _as_json(self.running.started),
                "progress": _as_json(self.running.progress),
            },
            "recentSyncs": [_as_json(sync) for sync in self.recent],
            "statistics": {
                "totalSyncs": self.statistics.total_syncs,
                "successfulSyncs": self.statistics.successful_syncs,
                "successRate": None if rate is None else f"{rate:.2f}%",
                "avgDurationSeconds": None if duration is None else f"{duration:.2f}",
                "lastSyncTime": _as_json(self.statistics.last_sync_time),
            },
            "latestData": {name: self._latest_data(name) for name in DATASETS},
        }

    def _latest_data(self, name: DatasetName) -> dict[str, Any] | None:
        if (data := self.published.get(name)) is None:
            return None
        return {"recordCount": data.record_count, "syncedAt": data.synced_at.isoformat()}


def _as_json(value: Any) -> Any:
    if is_dataclass(value):
        return {one.name: _as_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


def read_status(database: Database) -> SyncStatus:
    """Return everything that the status endpoint and `acsync status` show."""
    with database.begin() as connection:
        ended = _read_syncs(connection, "finished_at is not null", 1)
        return SyncStatus(
            ended[0] if ended else None,
            _read_running(connection),
            _read_syncs(connection, "true", RECENT_SYNCS),
            _read_statistics(connection),
            _read_published(connection),
            _read_last_success(connection),
            _read_warnings(connection),
        )


def read_recent_syncs(database: Database) -> tuple[LoggedSync, ...]:
    """Return the newest rows of the log, the newest first; a running sync is one of them."""
    with database.begin() as connection:
        return _read_syncs(connection, "true", RECENT_SYNCS)


def read_running(database: Database) -> RunningSync | None:
    """Return the sync that holds the lease and how far it is, by one small query."""
    with database.begin() as connection:
        return _read_running(connection)


def read_pace(database: Database) -> Pace | None:
    """Return the pace at which the last sync ended; None where no sync called the account."""
    sql = """
        select pace, extract(epoch from clock_timestamp() - finished_at) as age
        from {schema}.ac_sync_logs
        where finished_at is not null and api_calls > 0 and pace is not null
        order by id desc limit 1
    """
    with database.begin() as connection:
        row = run(connection, sql).one_or_none()
    if row is None:
        return None
    # Syncs before acsync measured its margin kept only the first two.
    rate, refused, *margin = row.pace
    return Pace(rate, _aged(refused, float(row.age)), *margin)


def _aged(refused: Sequence[Sequence[float]], seconds: float) -> dict[float, RefusedRate]:
    """Return the refused rates of a pace that was kept some seconds ago.

    Earlier versions kept no bar, and took other programs for the limit: their rates are tried
    again at once.
    """
    return {rate: RefusedRate(age + seconds, *(bar or [0.0])) for rate, age, *bar in refused}


def read_data_age(database: Database) -> dict[DatasetName, datetime]:
    """Return when the oldest record of each published dataset was read, in UTC."""
    with database.begin() as connection:
        published = _read_published(connection)
    return {name: data.read_from.astimezone(UTC) for name, data in published.items()}


def _read_syncs(connection: Connection, condition: str, limit: int) -> tuple[LoggedSync, ...]:
    sql = f"""
        select {LOGGED_SYNC} from {{schema}}.ac_sync_logs
        where {condition} order by id desc limit :most
    """
    return tuple(LoggedSync(*row) for row in run(connection, sql, most=limit))


def _read_statistics(connection: Connection) -> SyncStatistics:
    sql = """
        select total_syncs, successful_syncs, success_rate, avg_duration_seconds, last_sync_time
        from {schema}.ac_sync_statistics
    """
    return SyncStatistics(*run(connection, sql).one())


def _read_published(connection: Connection) -> dict[DatasetName, PublishedDataset]:
    sql = """
        select distinct on (data_type) data_type, record_count, synced_at, read_from
        from {schema}.ac_published order by data_type, sync_no desc
    """
    return {name: PublishedDataset(*data) for name, *data in run(connection, sql)}


def _read_warnings(connection: Connection) -> Warnings:
    sql = """
        select contacts_warnings || deals_warnings from {schema}.ac_sync_logs
        where finished_at is not null order by id desc limit 1
    """
    return tuple(dict.fromkeys(run(connection, sql).scalar() or ()))


def _read_last_success(connection: Connection) -> datetime | None:
    sql = "select max(finished_at) from {schema}.ac_sync_logs where overall_success"
    ended: datetime | None = run(connection, sql).scalar()
    return ended


def _read_running(connection: Connection) -> RunningSync | None:
    row = run(connection, RUNNING).one_or_none()
    if row is None:
        return None
    now = SyncProgress(**(row.progress or {"phase": "starting"}))
    expected = {"contacts": row.contacts_expected, "deals": row.deals_expected}
    progress = {
        name: DatasetProgress(now.records.get(name, 0), expected[name]) for name in DATASETS
    }
    return RunningSync(row.sync_id, row.timestamp, progress, now)
