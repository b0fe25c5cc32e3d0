"""Read the state of the syncs: the last one, the running one, and what is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.readings import Warnings
from acsync.results import SyncKind, SyncProgress, group_errors
from acsync.schedule import DEFAULT_INTERVAL
from acsync.store.database import Database, run
from acsync.store.interval import read_interval
from acsync.store.lease import ALIVE
from acsync.store.sync_history import FULL, RECENT_SYNCS, SyncRecord, read_latest, read_syncs

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
class RunningSync:
    """The sync that holds the lease; `now` is its progress at the last heartbeat.

    `expected` are the records of each dataset, None before it is planned.
    """

    sync_id: str
    started: datetime
    expected: Mapping[DatasetName, int | None]
    now: SyncProgress
    kind: SyncKind = "full"

    @property
    def progress(self) -> list[tuple[DatasetName, int, int]]:
        """Return name, staged records and expected records of each planned dataset."""
        return [
            (name, min(self.now.records.get(name, 0), expected), expected)
            for name, expected in self.expected.items()
            if expected
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the part of the status that describes a running sync."""
        progress = {
            name: {"records": self.now.records.get(name, 0), "expected": expected}
            for name, expected in self.expected.items()
        }
        return {
            "sync_id": self.sync_id,
            "started": self.started.isoformat(),
            "progress": progress,
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
    interval: timedelta = DEFAULT_INTERVAL
    incremental: SyncRecord | None = None

    @property
    def warnings(self) -> Warnings:
        """Return the warnings of the last finished syncs, and why the incremental one failed."""
        syncs = [sync for sync in (self.latest, self.incremental) if sync]
        warnings = chain.from_iterable(sync.warnings for sync in syncs)
        failures = (
            f"the last incremental sync did not update {names}: {error}"
            for error, names in group_errors(self.incremental.errors if self.incremental else {})
        )
        return tuple(dict.fromkeys(chain(failures, warnings)))

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
            "warnings": list(self.warnings),
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
            read_interval(connection),
            read_latest(connection, INCREMENTAL_AFTER, sync_id=latest.sync_id) if latest else None,
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
    expected: dict[DatasetName, int | None]
    expected = {"contacts": row.contacts_expected, "deals": row.deals_expected}
    return RunningSync(row.sync_id, row.timestamp, expected, now, row.kind)


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
