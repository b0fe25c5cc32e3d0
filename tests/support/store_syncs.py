"""Run the store's part of a sync on invented records."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import text

from acsync.datasets import DatasetName, Record
from acsync.models import CallCounts, Changes, DatasetResult, EnrichedRecord, Interval, Pace, Sync
from acsync.store.database import Database
from acsync.store.lease import keep_lease, require_lease, start_sync
from acsync.store.publish import publish_dataset
from acsync.store.retention import retire_versions
from acsync.store.snapshot import published_state
from acsync.store.staging import StagedSlice, stage_slice
from acsync.store.sync_log import finish_log

KEEP = 3
EXPIRE = "update ac_lease set renewed_at = clock_timestamp() - interval '91 seconds'"


def people(*ids: int, **values: Any) -> list[Record]:
    """Create contacts that differ only in their ids."""
    return [{"id": str(number), "email": f"p{number}@example.com"} | values for number in ids]


def cut(
    database: Database,
    name: DatasetName,
    records: Iterable[Record],
    number: int = 0,
    *,
    age: float = 0.0,
) -> StagedSlice:
    """Build a slice, read `age` seconds ago, with bodies only of changed records."""
    encoded = {
        int(record["id"]): json.dumps(record, sort_keys=True, ensure_ascii=False).encode()
        for record in records
    }
    hashes = {key: hashlib.blake2b(body, digest_size=16).digest() for key, body in encoded.items()}
    published, _ = published_state(database, name, list(encoded), [])
    changed = [
        EnrichedRecord(key, hashes[key], body)
        for key, body in encoded.items()
        if published.get(key) != hashes[key]
    ]
    covered = Interval(min(encoded, default=0), max(encoded, default=0))
    asked_at = [time.monotonic() - age] * len(encoded)
    return StagedSlice(number, covered, list(encoded), changed, asked_at)


def publish(database: Database, sync: Sync, names: Iterable[DatasetName]) -> dict[str, Changes]:
    """Publish what is staged in one transaction with the log row."""
    with database.begin() as connection:
        require_lease(connection, sync)
        changes = {name: publish_dataset(connection, sync, name, 5) for name in names}
        for name in names:
            retire_versions(connection, name, KEEP)
        outcomes = {name: DatasetResult(5, changes[name]) for name in names}
        finish_log(connection, sync, outcomes, CallCounts(7, 2, 1), Pace(10))
    return {str(name): changed for name, changed in changes.items()}


def sync_all(
    database: Database, records: Mapping[DatasetName, list[Record]]
) -> tuple[str, dict[str, Changes]]:
    """Run a whole sync of these datasets, and return its id and its changes."""
    sync = start_sync(database, "a test", None)
    with keep_lease(database, sync):
        for name, rows in records.items():
            stage_slice(database, sync, name, cut(database, name, rows))
        return sync.sync_id, publish(database, sync, list(records))


def fetch(database: Database, sql: str, **values: Any) -> list[tuple[Any, ...]]:
    """Run a query in the schema public, as a user would."""
    with database.engine.begin() as connection:
        result = connection.execute(text(sql), values)
        return [tuple(row) for row in result] if result.returns_rows else []
