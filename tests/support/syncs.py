"""Run a sync, or the store's part of one, without Prefect, and look at its results."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import text

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.errors import AcsyncError
from acsync.readings import Copied, EnrichedRecord, Interval, Pace
from acsync.results import CallCounts, Changes, DatasetResult, Sync, SyncResult
from acsync.settings import Settings
from acsync.simulator.account import Account
from acsync.simulator.expected import Comparison, compare
from acsync.store.database import Database, run
from acsync.store.lease import keep_lease, require_lease, start_sync
from acsync.store.publish import publish_dataset
from acsync.store.retention import retire_versions
from acsync.store.snapshot import published_state, read_published
from acsync.store.staging import StagedSlice, stage_slice
from acsync.store.sync_log import finish_log
from acsync.sync.context import RECOUNT_PAUSES, SyncContext, open_sync
from acsync.sync.copy_slice import copy_slice, stage_newest
from acsync.sync.deal_events import read_deal_events
from acsync.sync.job import Job
from acsync.sync.plan import plan
from acsync.sync.publish import publish as publish_sync
from acsync.sync.read import read_metadata, read_newest, read_newest_again
from acsync.sync.verify import Verified, verify
from flows.sync_activecampaign import copy_changes
from tests.support.expected import NOTHING_HIDDEN, Privacy, expected_lists, expected_tags


def run_sync(
    settings: Settings,
    datasets: tuple[DatasetName, ...] = tuple(DATASETS),
    accept_shrink: bool = False,
    recount_pauses: tuple[float, ...] = RECOUNT_PAUSES,
) -> SyncResult:
    """Run one sync; a dataset that fails in one step does not affect the other."""
    with open_sync(settings, datasets, accept_shrink=accept_shrink, holder="a test") as opened:
        context = replace(opened, recount_pauses=recount_pauses)
        verified: list[Verified] = []
        failures: dict[DatasetName, str] = {}
        for name in datasets:
            try:
                verified.append(copy_dataset(context, name))
            except AcsyncError as error:
                failures[name] = str(error)
        events = None
        if context.reads_events and "deals" not in failures:
            events = read_deal_events(context, read_newest(context, "deals"))
        return publish_sync(context, verified, failures, events)


def run_incremental(settings: Settings) -> SyncResult:
    """Run one incremental sync, as the flow does."""
    with open_sync(settings, tuple(DATASETS), holder="a test", kind="incremental") as context:
        return copy_changes(context)


def copy_dataset(context: SyncContext, name: DatasetName) -> Verified:
    """Copy one dataset, from reading its metadata to verifying it."""
    job, copied = copy_slices(context, name)
    return verify(context, job, copied, read_newest_again(context, job))


def copy_slices(context: SyncContext, name: DatasetName) -> tuple[Job, list[Copied]]:
    """Plan one dataset and copy its slices."""
    job = plan_dataset(context, name)
    return job, [copy_slice(context, job, part) for part in job.slices]


def plan_dataset(context: SyncContext, name: DatasetName) -> Job:
    """Read the metadata and the newest page of a dataset, plan it, and stage that page."""
    metadata = {need: read_metadata(context, need) for need in context.settings.needs(name)}
    newest = read_newest(context, name)
    return stage_newest(context, plan(context, name, newest, metadata), newest)


KEEP = 3
# A sync of an earlier acsync starts: today's code knows only today's tables.
RUNNING = """
    insert into ac_sync_logs (sync_id, "timestamp") values ('sync-1', clock_timestamp());
    insert into ac_lease (id, sync_no, holder, acquired_at, renewed_at)
    select 1, id, 'a test', clock_timestamp(), clock_timestamp() from ac_sync_logs
"""
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


def rows_of(database: Database, view: str) -> list[dict[str, Any]]:
    """Return the rows of a view by column, in the order of its first column."""
    with database.engine.begin() as connection:
        rows = connection.execute(text(f"select * from {view} order by 1")).mappings()
        return [dict(row) for row in rows]


SNAPSHOT = """
    select 'contacts' as data_type, record_id, hash from ac_contact_versions where valid_to is null
    union all
    select 'deals', record_id, hash from ac_deal_versions where valid_to is null
    order by 1, 2
"""
LEFT_OVERS = """
    select (select count(*) from ac_sync_logs where overall_success is null),
           (select count(*) from ac_staged_slices), (select count(*) from ac_staged_contacts),
           (select count(*) from ac_staged_plans)
"""


def compare_copy(
    database: Database, account: Account, privacy: Privacy = NOTHING_HIDDEN
) -> dict[DatasetName, Comparison]:
    """Compare every published record with the one that the simulator expects."""
    return {
        name: compare(account, name, read_published(database, name), privacy.conceal)
        for name in DATASETS
    }


def assert_exact(database: Database, account: Account, privacy: Privacy = NOTHING_HIDDEN) -> None:
    """Assert that the copy equals the account, key by key, in the long views too."""
    comparisons = compare_copy(database, account, privacy)

    assert all(comparison.exact for comparison in comparisons.values()), comparisons
    assert_relations(database, account, privacy)


TAGS = "select contact_id, tag_id, tag, added_at from {schema}.ac_contact_tags order by 1, 2"
LISTS = """
    select contact_id, list_id, list, status, subscribed_at, unsubscribed_at, reason
    from {schema}.ac_contact_lists order by 1, 2
"""


def assert_relations(
    database: Database, account: Account, privacy: Privacy = NOTHING_HIDDEN
) -> None:
    """Assert that the long views show the tags and lists of each contact."""
    views = (("tags", TAGS, expected_tags), ("lists", LISTS, expected_lists))
    for kind, sql, expect in views:
        with database.begin() as connection:
            shown = run(connection, sql).all()
        expected = [
            (contact, *row)
            for contact in account.ids("contacts")
            if f"contacts.{kind}" not in privacy.left_out
            for row in expect(account, contact)
        ]
        assert [tuple(row) for row in shown] == expected


def last_log(database: Database) -> dict[str, Any]:
    """Return the log row of the last sync."""
    sql = "select * from ac_sync_logs order by id desc limit 1"
    with database.engine.begin() as connection:
        return dict(connection.execute(text(sql)).mappings().one())


def changes_of(database: Database) -> dict[str, tuple[int, int, int]]:
    """Return what the last sync added, updated and deleted, from its log row."""
    row = last_log(database)
    return {
        name: tuple(row[f"{name}_{change}"] for change in ("added", "updated", "deleted"))
        for name in DATASETS
    }
