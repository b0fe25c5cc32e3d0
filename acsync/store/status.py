"""Read how the syncs went and what is published, for whoever asks."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row

from acsync.models import DATASETS, DatasetName, Sync
from acsync.store.database import Database
from acsync.store.lease import ALIVE
from acsync.store.sql import run
from acsync.store.staging import read_progress

RECENT_SYNCS = 10

SYNC_COLUMNS = """
    sync_id, "timestamp", total_duration_ms,
    round(total_duration_ms / 1000.0, 2) as duration_seconds,
    round(total_duration_ms / 60000.0, 2) as duration_minutes,
    contacts_success, contacts_count, contacts_error,
    deals_success, deals_count, deals_error, overall_success
"""
"""The columns of the view ac_latest_sync."""


def read_learned_rate(database: Database) -> float | None:
    """Give the calls per second that the last sync found the account to allow; None for all."""
    sql = """
        select learned_rate from {schema}.ac_sync_logs
        where finished_at is not null and api_calls > 0 order by id desc limit 1
    """
    with database.begin() as connection:
        rate: float | None = run(connection, sql).scalar()
        return rate


def read_last_success(database: Database) -> datetime | None:
    """Give when the last complete sync ended."""
    sql = "select max(finished_at) from {schema}.ac_sync_logs where overall_success"
    with database.begin() as connection:
        ended: datetime | None = run(connection, sql).scalar()
        return ended


def read_data_age(database: Database) -> dict[DatasetName, datetime]:
    """Give when each published dataset was read, in UTC."""
    sql = "select data_type, max(synced_at) from {schema}.ac_published group by 1 order by 1"
    with database.begin() as connection:
        return {name: synced_at.astimezone(UTC) for name, synced_at in run(connection, sql)}


def read_status(database: Database) -> dict[str, Any]:
    """Give the payload of GET /api/sync-status, ready for JSON."""
    with database.begin() as connection:
        latest = run(connection, "select * from {schema}.ac_latest_sync").one_or_none()
        recent = run(
            connection,
            f"select {SYNC_COLUMNS} from {{schema}}.ac_sync_logs order by id desc limit :most",
            most=RECENT_SYNCS,
        ).all()
        payload = {
            "currentStatus": _as_json(latest) if latest else None,
            "recentSyncs": [_as_json(row) for row in recent],
            "statistics": _read_statistics(connection),
            "latestData": {name: _read_published(connection, name) for name in DATASETS},
        }
    return payload | {"running": _read_running(database)}


def _read_statistics(connection: Connection) -> dict[str, Any]:
    row = run(connection, "select * from {schema}.ac_sync_statistics").one()
    duration, rate = row.avg_duration_seconds, row.success_rate
    return {
        "totalSyncs": row.total_syncs,
        "successfulSyncs": row.successful_syncs,
        "successRate": None if rate is None else f"{rate:.2f}%",
        "avgDurationSeconds": None if duration is None else f"{duration:.2f}",
        "lastSyncTime": _plain(row.last_sync_time),
    }


def _read_published(connection: Connection, name: DatasetName) -> dict[str, Any] | None:
    row = run(
        connection,
        """
        select record_count, synced_at from {schema}.ac_published
        where data_type = :data_type order by sync_no desc limit 1
        """,
        name,
    ).one_or_none()
    if row is None:
        return None
    return {"recordCount": row.record_count, "syncedAt": _plain(row.synced_at)}


def _read_running(database: Database) -> dict[str, Any] | None:
    """Show the sync that holds a living lease, and how far it is."""
    sql = f"""
        select log.id, log.sync_id, log."timestamp", contacts_expected as contacts,
               deals_expected as deals
        from {{schema}}.ac_lease join {{schema}}.ac_sync_logs as log on log.id = sync_no
        where {ALIVE} and overall_success is null
    """
    with database.begin() as connection:
        row = run(connection, sql).one_or_none()
    if row is None:
        return None
    records = read_progress(database, Sync(row.id, row.sync_id, row.timestamp))
    return {
        "sync_id": row.sync_id,
        "started": _plain(row.timestamp),
        "progress": {
            name: {"records": records[name], "expected": row._mapping[name]} for name in DATASETS
        },
    }


def _as_json(row: Row[Any]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in row._mapping.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
