"""Publish a dataset: close versions that vanished or changed, add new ones, count both.

A version is part of the snapshot of sync n if valid_from <= n and valid_to is null or > n.
Readers are never locked out, and no table is created, renamed or emptied.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection

from acsync.datasets import DatasetName
from acsync.errors import StoreError
from acsync.readings import Interval
from acsync.results import Changes, DatasetResult, Sync
from acsync.store.database import BODIES, forbid_nested_loops, run, schema_name, schema_of
from acsync.store.deal_stages import STAY_CHANGES
from acsync.store.refusal import ALL_IDS, Write, find_refused, savepoint
from acsync.store.staging import OLDEST_READ, STAGED, STAGED_CHANGES
from acsync.store.stored_rows import list_row_writes

WITH_CHANGES = f"with staged as materialized ({STAGED_CHANGES})"

# An array, so that Postgres looks each version up in an index.
HAS_BODY = "record_id = any(array(select record_id from {bodies} where sync_no = :sync_no))"

# A record in ac_deleted has no current version.
CLOSE_VANISHED = """
    with staged as materialized (
        select unnest(record_ids) as record_id from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    ), vanished as (
        update {versions} as version set valid_to = :sync_no, is_deleted = true
        where version.valid_to is null and version.record_id between :first and :last
          and not exists (select from staged where staged.record_id = version.record_id)
        returning record_id, created_at
    )
    insert into {schema}.ac_deleted (data_type, record_id, created_at, deleted_at)
    select :data_type, record_id, created_at, now() from vanished
    on conflict (data_type, record_id) do update set deleted_at = excluded.deleted_at
"""

# An incremental sync does not see which records are gone.
CLOSE_NONE = "delete from {versions} where false"

FORGET_RETURNED = """
    delete from {schema}.ac_deleted as deleted using {versions} as version
    where deleted.data_type = :data_type and version.record_id = deleted.record_id
      and version.valid_from = :sync_no and version.record_id between :first and :last
"""

CLOSE_CHANGED = f"""
    {WITH_CHANGES}
    update {{versions}} as version set valid_to = :sync_no
    from {{bodies}} as body join staged using (slice_no, record_id)
    where body.sync_no = :sync_no and version.valid_to is null and not body.is_refresh
      and version.record_id = body.record_id and version.hash <> body.hash
      and version.record_id between :first and :last and version.{HAS_BODY}
"""

# Records with the same content get new names and counters without a new version.
REFRESH = f"""
    {WITH_CHANGES}
    update {{versions}} as version set {{assignments}}, read_at = staged.read_at
    from {{bodies}} as body join staged using (slice_no, record_id)
    where body.sync_no = :sync_no and version.valid_to is null and body.is_refresh
      and version.record_id = body.record_id and version.record_id between :first and :last
      and version.{HAS_BODY}
"""

# The columns that versions share with staged bodies: the record and those generated from it.
COLUMNS = """
    select string_agg(quote_ident(attname), ', ' order by attnum),
           string_agg(format('%1$I = body.%1$I', attname), ', ' order by attnum)
    from pg_attribute
    where attrelid = cast(:bodies as regclass) and attnum > 0 and not attisdropped
      and attname not in ('sync_no', 'slice_no', 'is_refresh')
"""

ADD_VERSIONS = f"""
    {WITH_CHANGES}
    insert into {{versions}} (valid_from, read_at, is_added, {{columns}})
    select :sync_no, read_at, body.record_id not in (
        select record_id from {{versions}} where valid_to = :sync_no
    ), {{columns}}
    from {{bodies}} as body join staged using (slice_no, record_id)
    where body.sync_no = :sync_no and body.record_id between :first and :last and not exists (
        select from {{versions}} as version
        where version.record_id = body.record_id and version.valid_to is null
    )
"""

ALL_RECORDS = f"""
    {STAGED}
    select record_id from staged
    union
    select record_id from {{versions}} where valid_to is null
    order by record_id
"""

COUNT_RECORDS = "select count(*) from {versions} where valid_to is null"

# Records that were not resumed were read after the sync started. If the account's clock is not
# known, it is taken to be right.
NOTE_PUBLISHED = f"""
    insert into {{schema}}.ac_published
        (data_type, sync_no, sync_id, kind, synced_at, record_count, duration_ms, read_from,
         server_time)
    select :data_type, :sync_no, :sync_id, :kind, now(), :record_count, :duration_ms, read_from,
           coalesce(cast(:server_started as timestamptz), :started_at) - (:started_at - read_from)
    from (
        select least(:started_at, min({OLDEST_READ})) as read_from
        from {{schema}}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    ) as staged
"""

# The newest publication tells the next incremental sync where to start. An older one is history
# if it changed something.
DROP_EMPTY = """
    delete from {schema}.ac_published as published
    where data_type = :data_type and kind = 'incremental'
      and sync_no = (
          select max(sync_no) from {schema}.ac_published
          where data_type = :data_type and sync_no < :sync_no
      )
      and not exists (select from {versions} where valid_from = published.sync_no)
      and not exists (select from {versions} where valid_to = published.sync_no)
"""


def publish_dataset(
    connection: Connection,
    sync: Sync,
    name: DatasetName,
    duration_ms: int,
    server_started: datetime | None = None,
) -> Changes:
    """Make the staged records the snapshot; readers see it once the caller commits.

    This also updates the deals' stages. The caller holds the lease in the same transaction. An
    incremental sync deletes no record, and does not count masked ones. `server_started` is when
    the sync started by the account's clock. Raises StoreError if this sync or a newer one is
    already published.
    """
    _require_unpublished(connection, sync, name)
    if sync.kind == "full":
        forbid_nested_loops(connection)
    deleted, updated, written, refreshed, *_ = [
        write(ALL_IDS) for write in _list_writes(connection, sync, name)
    ]
    records = run(connection, COUNT_RECORDS, name).scalar_one()
    masked = (
        run(connection, f"{COUNT_RECORDS} and is_masked", name).scalar_one()
        if name == "deals" and sync.kind == "full"
        else 0
    )
    run(
        connection,
        NOTE_PUBLISHED,
        name,
        sync_no=sync.number,
        sync_id=sync.sync_id,
        kind=sync.kind,
        started_at=sync.started_at,
        server_started=server_started,
        record_count=records,
        duration_ms=duration_ms,
    )
    return Changes(records, written - updated, updated, deleted, masked, refreshed)


def drop_empty(connection: Connection, sync: Sync, name: DatasetName) -> None:
    """Delete the publication before this one if an incremental sync made it and changed nothing."""
    run(connection, DROP_EMPTY, name, sync_no=sync.number)


def _list_writes(connection: Connection, sync: Sync, name: DatasetName) -> list[Write]:
    """Return the writes that publish a range of ids, in order."""
    bodies = f"{schema_of(connection)}.{BODIES[name]}"
    columns, assignments = run(connection, COLUMNS, bodies=bodies).one()
    statements = [
        CLOSE_VANISHED if sync.kind == "full" else CLOSE_NONE,
        CLOSE_CHANGED,
        ADD_VERSIONS.replace("{columns}", columns),
        REFRESH.replace("{assignments}", assignments),
        FORGET_RETURNED,
    ]
    if name == "deals":
        statements += STAY_CHANGES

    def as_write(sql: str) -> Write:
        def write(part: Interval) -> int:
            values = {"sync_no": sync.number, "first": part.first, "last": part.last}
            return run(connection, sql, name, **values).rowcount

        return write

    return [*map(as_write, statements), *list_row_writes(connection, name, as_write)]


@contextmanager
def publishing(connection: Connection, sync: Sync, name: DatasetName) -> Iterator[None]:
    """Undo the block and raise DataRefused, with the record, if Postgres refuses it."""

    def find_record() -> int | None:
        forbid_nested_loops(connection)
        ids = list(run(connection, ALL_RECORDS, name, sync_no=sync.number).scalars())
        return find_refused(connection, _list_writes(connection, sync, name), ids)

    with savepoint(connection, name, find_record):
        yield


def _require_unpublished(connection: Connection, sync: Sync, name: DatasetName) -> None:
    newest = run(
        connection,
        "select max(sync_no) from {schema}.ac_published where data_type = :data_type",
        name,
    ).scalar()
    if newest is not None and newest >= sync.number:
        raise StoreError(
            f"The {name} of {sync.sync_id}, or newer ones, are already published. Nothing was "
            "changed.",
            "Start a new sync.",
        )


CHANNEL = "acsync"


def notify(
    connection: Connection, sync: Sync, results: Mapping[DatasetName, DatasetResult]
) -> None:
    """Notify listeners of the channel `acsync` of the changes, once they are committed."""
    datasets = {name: asdict(result.changes) for name, result in results.items() if result.changes}
    if datasets:
        payload = {"schema": schema_name(connection), "sync_id": sync.sync_id, "datasets": datasets}
        run(
            connection,
            "select pg_notify(:channel, :payload)",
            channel=CHANNEL,
            payload=json.dumps(payload),
        )
