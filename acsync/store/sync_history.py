"""Read the sync log: past syncs, the running one, and what is published."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import chain
from typing import Any

from sqlalchemy import Connection, RowMapping

from acsync.datasets import DATASETS, DatasetName
from acsync.readings import Warnings
from acsync.results import Changes, DatasetResult, Recall, Sync, SyncKind, SyncProgress
from acsync.schedule import DEFAULT_INTERVAL
from acsync.store.database import Database, run
from acsync.store.interval import read_interval
from acsync.store.lease import ALIVE

RECENT_SYNCS = 10

CHANGES = ("added", "updated", "deleted")
COUNTS = (*CHANGES, "masked", "refreshed", "dropped")

SELECT = "select * from {schema}.ac_sync_logs"
LAST_SUCCESS = """
    select max(finished_at) from {schema}.ac_sync_logs where overall_success and kind = 'full'
"""

FULL = "kind = 'full'"
INCREMENTAL_AFTER = """
    kind = 'incremental'
    and id > (select id from {schema}.ac_sync_logs where sync_id = :sync_id)
"""

RUNNING = f"""
    select sync_id, "timestamp", kind, contacts_expected, deals_expected, progress
    from (select sync_no, progress from {{schema}}.ac_lease where {ALIVE}) as lease
    join {{schema}}.ac_sync_logs as log on log.id = sync_no
    where overall_success is null
"""


@dataclass(frozen=True)
class SyncRecord:
    """One row of the log; `success` and `duration_ms` are None while the sync is running.

    `learned_rate` is the rate in calls per second that the account allows, if the sync learned it.
    """

    sync_id: str
    started: datetime
    duration_ms: int | None
    success: bool | None
    datasets: Mapping[DatasetName, DatasetResult]
    calls: int | None = None
    refused: int | None = None
    flow_run_id: str | None = None
    learned_rate: float | None = None
    kind: SyncKind = "full"

    def total(self, field: str) -> int:
        """Return the sum of a count of `Changes` over the datasets, such as `added`."""
        return sum(getattr(each.changes, field, 0) or 0 for each in self.datasets.values())

    @property
    def warnings(self) -> Warnings:
        """Return the warnings of all datasets, each once."""
        warnings = (dataset.warnings for dataset in self.datasets.values())
        return tuple(dict.fromkeys(chain.from_iterable(warnings)))

    def as_json(self) -> dict[str, Any]:
        """Return the columns of the view `ac_latest_sync`."""
        datasets = {
            f"{name}_{field}": getattr(self.datasets.get(name), field, None)
            for name in DATASETS
            for field in ("success", "count", "error")
        }
        return {
            "sync_id": self.sync_id,
            "timestamp": self.started.isoformat(),
            "total_duration_ms": self.duration_ms,
            "duration_seconds": _divide(self.duration_ms, 1_000),
            "duration_minutes": _divide(self.duration_ms, 60_000),
            **datasets,
            "overall_success": self.success,
        }


def _divide(milliseconds: int | None, divisor: int) -> float | None:
    if milliseconds is None:
        return None
    return float((Decimal(milliseconds) / divisor).quantize(Decimal("0.01"), ROUND_HALF_UP))


@dataclass(frozen=True)
class DatasetProgress:
    """The staged records, and the expected ones; None before the dataset is planned."""

    records: int
    expected: int | None


@dataclass(frozen=True)
class RunningSync:
    """The sync that holds the lease; `now` is its progress at the last heartbeat."""

    sync_id: str
    started: datetime
    progress: dict[DatasetName, DatasetProgress]
    now: SyncProgress
    kind: SyncKind = "full"

    def as_json(self) -> dict[str, Any]:
        """Return the part of the status that describes a running sync."""
        return {
            "sync_id": self.sync_id,
            "started": self.started.isoformat(),
            "progress": {name: asdict(progress) for name, progress in self.progress.items()},
        }


@dataclass(frozen=True)
class PublishedDataset:
    """A dataset as published at `synced_at`, as in the view `ac_freshness`.

    Changes before `read_from` are published. The last full sync started at `verified_at`.
    """

    record_count: int
    synced_at: datetime
    read_from: datetime
    verified_at: datetime

    @property
    def proven_from(self) -> datetime:
        """Return the time from which staleness counts: the oldest read of the last full sync."""
        return min(self.read_from, self.verified_at)

    @property
    def is_ahead(self) -> bool:
        """Return whether an incremental sync has published changes since the last full sync."""
        return self.read_from > self.verified_at

    def as_json(self) -> dict[str, Any]:
        """Return the part of the status that describes a dataset."""
        return {
            "recordCount": self.record_count,
            "syncedAt": self.synced_at.isoformat(),
            "readFrom": self.read_from.isoformat(),
            "verifiedAt": self.verified_at.isoformat(),
        }


@dataclass(frozen=True)
class SyncStatus:
    """The state of the syncs and of what is published; `recent` starts with the newest sync.

    `latest` is the last finished full sync, and `incremental` the last finished incremental sync
    after it. `statistics` is the view `ac_sync_statistics`. `interval` is that of full syncs.
    """

    latest: SyncRecord | None
    running: RunningSync | None
    recent: tuple[SyncRecord, ...]
    statistics: Mapping[str, Any]
    published: dict[DatasetName, PublishedDataset]
    last_success: datetime | None
    interval: timedelta = DEFAULT_INTERVAL
    incremental: SyncRecord | None = None

    @property
    def warnings(self) -> Warnings:
        """Return the warnings of the last finished syncs of both kinds, each once."""
        syncs = [sync for sync in (self.latest, self.incremental) if sync]
        return tuple(dict.fromkeys(chain.from_iterable(sync.warnings for sync in syncs)))

    def as_json(self) -> dict[str, Any]:
        """Return the payload of GET /api/sync-status."""
        rate, duration, last_sync = (
            self.statistics[column]
            for column in ("success_rate", "avg_duration_seconds", "last_sync_time")
        )
        return {
            "currentStatus": self.latest and self.latest.as_json(),
            "running": self.running and self.running.as_json(),
            "recentSyncs": [sync.as_json() for sync in self.recent],
            "statistics": {
                "totalSyncs": self.statistics["total_syncs"],
                "successfulSyncs": self.statistics["successful_syncs"],
                "successRate": None if rate is None else f"{rate:.2f}%",
                "avgDurationSeconds": None if duration is None else f"{duration:.2f}",
                "lastSyncTime": last_sync and last_sync.isoformat(),
            },
            "latestData": dict.fromkeys(DATASETS)
            | {name: data.as_json() for name, data in self.published.items()},
            "intervalSeconds": self.interval.total_seconds(),
        }


def read_status(database: Database) -> SyncStatus:
    """Return everything that the status endpoint and `acsync status` show."""
    with database.begin() as connection:
        latest = read_latest(connection, FULL)
        return SyncStatus(
            latest,
            _read_running(connection),
            read_syncs(connection, RECENT_SYNCS),
            dict(run(connection, "select * from {schema}.ac_sync_statistics").mappings().one()),
            _read_published(connection),
            run(connection, LAST_SUCCESS).scalar(),
            read_interval(connection),
            read_latest(connection, INCREMENTAL_AFTER, sync_id=latest.sync_id) if latest else None,
        )


def read_recent_syncs(database: Database, kind: SyncKind = "full") -> tuple[SyncRecord, ...]:
    """Return the last ten syncs of a kind, the newest first; a running sync is included."""
    with database.begin() as connection:
        return read_syncs(connection, RECENT_SYNCS, kind)


def read_syncs(
    connection: Connection, most: int, kind: SyncKind = "full"
) -> tuple[SyncRecord, ...]:
    """Return the last syncs of a kind, the newest first; a running sync is included."""
    sql = f"{SELECT} where kind = :kind order by id desc limit :most"
    return tuple(map(_sync_record, run(connection, sql, most=most, kind=kind).mappings()))


def read_sync_of_run(database: Database, flow_run_id: str) -> SyncRecord | None:
    """Return the finished sync of a flow run, or None."""
    with database.begin() as connection:
        return read_latest(connection, "flow_run_id = :flow_run_id", flow_run_id=flow_run_id)


def read_sync_after(database: Database, sync_id: str | None) -> SyncRecord | None:
    """Return the newest finished full sync that started after another one, or None."""
    condition = f"""
        {FULL} and id > coalesce(
            (select id from {{schema}}.ac_sync_logs where sync_id = :sync_id), 0)
    """
    with database.begin() as connection:
        return read_latest(connection, condition, sync_id=sync_id)


def read_results(connection: Connection, sync: Sync) -> dict[DatasetName, DatasetResult] | None:
    """Return how each dataset ended, or None while the log row is open.

    Changes of custom fields are not in the log.
    """
    sql = f"{SELECT} where id = :number and overall_success is not null"
    row = run(connection, sql, number=sync.number).mappings().one_or_none()
    if row is None:
        return None
    return dict(_sync_record(row).datasets)


def read_latest(
    connection: Connection, condition: str = "true", **values: Any
) -> SyncRecord | None:
    """Return the last finished sync that meets the condition, or None."""
    sql = f"{SELECT} where finished_at is not null and {condition} order by id desc limit 1"
    row = run(connection, sql, **values).mappings().one_or_none()
    return _sync_record(row) if row else None


def _sync_record(row: RowMapping) -> SyncRecord:
    return SyncRecord(
        row["sync_id"],
        row["timestamp"],
        row["total_duration_ms"],
        row["overall_success"],
        {
            name: _dataset_result(name, row)
            for name in DATASETS
            if row[f"{name}_success"] is not None
        },
        row["api_calls"],
        row["rate_limited"],
        row["flow_run_id"],
        row["learned_rate"],
        row["kind"],
    )


def _dataset_result(name: DatasetName, row: RowMapping) -> DatasetResult:
    counts = (row[f"{name}_{column}"] or 0 for column in ("count", *COUNTS))
    seen, missed = row[f"{name}_seen"], row[f"{name}_missed"]
    return DatasetResult(
        row[f"{name}_duration_ms"],
        Changes(*counts) if row[f"{name}_success"] else None,
        row[f"{name}_error"],
        tuple(row[f"{name}_warnings"] or ()),
        recall=None if seen is None else Recall(seen, missed or {}),
    )


def read_running(database: Database) -> RunningSync | None:
    """Return the sync that holds the lease and its progress, with one small query."""
    with database.begin() as connection:
        return _read_running(connection)


def _read_running(connection: Connection) -> RunningSync | None:
    row = run(connection, RUNNING).one_or_none()
    if row is None:
        return None
    now = SyncProgress(**(row.progress or {"phase": "starting"}))
    expected = {"contacts": row.contacts_expected, "deals": row.deals_expected}
    progress = {
        name: DatasetProgress(now.records.get(name, 0), expected[name]) for name in DATASETS
    }
    return RunningSync(row.sync_id, row.timestamp, progress, now, row.kind)


def read_data_age(database: Database) -> dict[DatasetName, datetime]:
    """Return when the last full sync read the oldest record of each published dataset, in UTC."""
    with database.begin() as connection:
        published = _read_published(connection)
    return {name: data.proven_from.astimezone(UTC) for name, data in published.items()}


def _read_published(connection: Connection) -> dict[DatasetName, PublishedDataset]:
    sql = """
        select data_type, record_count, synced_at, read_from, coalesce(verified_at, read_from)
        from {schema}.ac_freshness
    """
    return {name: PublishedDataset(*data) for name, *data in run(connection, sql)}
