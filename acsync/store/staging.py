"""Stage what a sync reads, invisible to readers, until all of it can be published.

New and changed records are staged with their bodies, unchanged ones only as ids. A staged slice is
an interval of ids with the times at which they were read.
"""

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.readings import EnrichedRecord, Interval
from acsync.results import Sync
from acsync.store.database import BODIES, Database, run
from acsync.store.lease import holding_lease, require_lease
from acsync.store.staging_tables import STAGING, copy_bodies, drop_all

# The time at which a slice read its oldest record.
OLDEST_READ = """
    (staged_at - (select max(before_ms) from unnest(read_before_ms) as before_ms)
        * interval '1 millisecond')
"""

_READ_AT = "staged_at - before_ms * interval '1 millisecond'"
_FIRST_STAGED = f"""
    select distinct on (record_id) record_id, slice_no, {_READ_AT} as read_at
    from (
        select slice_no, staged_at, unnest(record_ids) as record_id,
               unnest(read_before_ms) as before_ms
        from {{schema}}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    ) as read
"""
# Each id with the slice that read it last. A slice can be staged after a newer one.
_NEWEST = f"order by record_id, {_READ_AT} desc, slice_no desc"
STAGED_IDS = f"{_FIRST_STAGED} {_NEWEST}"
STAGED = f"with staged as materialized ({STAGED_IDS})"

# Only new and changed records. To sort all ids would take longer than to publish 1 % of them.
STAGED_CHANGES = f"""
    {_FIRST_STAGED} where record_id in (select record_id from {{bodies}} where sync_no = :sync_no)
    {_NEWEST}
"""

# Slices that fill gaps or come from incremental syncs get numbers from here, above planned ones.
FIRST_GAP_SLICE = 1_000_000

# For this long a full sync that reads a lagging replica puts no older record in place of a newer.
RECENT = timedelta(minutes=15)

# For this long it deletes none that no full sync has read. Deleted ones stay as long.
UNPROVEN = timedelta(minutes=2)

LARGEST_INTEGER = 2**31 - 1


@dataclass(frozen=True)
class StagedSlice:
    """One slice as read: the ids that it covers, its records and their new bodies.

    `asked_at` is the monotonic time at which each of `record_ids` was requested. `refreshed` are
    the ids of changed records with the same content as before.
    """

    number: int
    covered: Interval
    record_ids: Sequence[int]
    changed: Sequence[EnrichedRecord]
    asked_at: Sequence[float]
    refreshed: Collection[int] = frozenset()


def stage_slice(database: Database, sync: Sync, name: DatasetName, staged: StagedSlice) -> None:
    """Stage a whole slice, replacing an earlier try; raise LeaseLost without the lease."""
    _drop_slice(database, sync, name, staged.number)
    with database.begin() as connection:
        copy_bodies(
            connection,
            name,
            (
                (sync.number, staged.number, record.record_id in staged.refreshed, record)
                for record in staged.changed
            ),
        )
        # Only now: a worker that freezes while it sends rows must not hold the lease's lock.
        require_lease(connection, sync, lock="key share")
        run(
            connection,
            """
            insert into {schema}.ac_staged_slices
                (sync_no, data_type, slice_no, covered_from, covered_through,
                 record_ids, read_before_ms, staged_at)
            values (:sync_no, :data_type, :slice_no, :covered_from, :covered_through,
                    cast(:record_ids as bigint[]), cast(:read_before_ms as integer[]), :staged_at)
            """,
            name,
            sync_no=sync.number,
            slice_no=staged.number,
            covered_from=staged.covered.first,
            covered_through=staged.covered.last,
            record_ids=list(staged.record_ids),
            **_read_times(connection, staged),
        )


def _read_times(connection: Connection, staged: StagedSlice) -> dict[str, Any]:
    """Return `staged_at` and how many milliseconds before it each record was read.

    The monotonic clock is read after Postgres' clock, so no record looks newer than it is.
    """
    staged_at: datetime = run(connection, "select clock_timestamp()").scalar_one()
    now = time.monotonic()
    before_ms = [min(math.ceil((now - at) * 1000), LARGEST_INTEGER) for at in staged.asked_at]
    return {"staged_at": staged_at, "read_before_ms": before_ms}


def _drop_slice(database: Database, sync: Sync, name: DatasetName, number: int) -> None:
    with holding_lease(database, sync) as connection:
        for table in ("{bodies}", "{schema}.ac_staged_slices"):
            run(
                connection,
                f"delete from {table} "
                f"where {STAGING[table]} and sync_no = :sync_no and slice_no = :slice_no",
                name,
                sync_no=sync.number,
                slice_no=number,
            )


def read_coverage(database: Database, sync: Sync, name: DatasetName) -> dict[int, Interval]:
    """Return the interval that each staged slice covers, by slice number, in id order."""
    sql = """
        select slice_no, covered_from, covered_through from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
        order by covered_from, covered_through, slice_no
    """
    rows = database.fetch(sql, name, sync_no=sync.number)
    return {row.slice_no: Interval(row.covered_from, row.covered_through) for row in rows}


def count_staged_slices(connection: Connection, sync: Sync, name: DatasetName) -> int:
    """Return how many slices of a dataset this sync has staged."""
    sql = """
        select count(*) from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    """
    return int(run(connection, sql, name, sync_no=sync.number).scalar_one())


def count_staged_records(database: Database, sync: Sync, name: DatasetName) -> int:
    """Return how many records are staged; a record in two slices counts twice."""
    sql = """
        select coalesce(sum(records), 0)::bigint from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    """
    ((records,),) = database.fetch(sql, name, sync_no=sync.number)
    return int(records)


def drop_staging(database: Database, sync: Sync, name: DatasetName) -> None:
    """Delete all that is staged of a dataset."""
    with holding_lease(database, sync) as connection:
        drop_all(connection, name)


# An incremental sync reads later than the slices that a full sync resumes after it. So its slices
# join the kept plan without covering an id, and their records lose their older bodies there.
ADD_TO_PLAN = """
    insert into {schema}.ac_staged_slices
        (sync_no, data_type, slice_no, covered_from, covered_through,
         record_ids, read_before_ms, staged_at)
    select plan.sync_no, plan.data_type, greatest(:first_gap_slice, kept.last_no)
               + row_number() over (order by slice_no), 1, 0, record_ids, read_before_ms, staged_at
    from {schema}.ac_staged_plans as plan
    cross join lateral (
        select max(slice_no) as last_no from {schema}.ac_staged_slices
        where sync_no = plan.sync_no and data_type = plan.data_type
    ) as kept
    join {schema}.ac_staged_slices as own on own.data_type = plan.data_type
    where plan.data_type = :data_type and own.sync_no = :sync_no and kept.last_no is not null
"""
DROP_OLDER_BODIES = """
    delete from {bodies} where record_id = any(array(
        select unnest(record_ids) from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    )) and sync_no = (select sync_no from {schema}.ac_staged_plans where data_type = :data_type)
"""

# Unread records stay if an incremental sync published them after the last full sync. They are as
# old as their version.
STAGE_UNPROVEN = """
    insert into {schema}.ac_staged_slices
        (sync_no, data_type, slice_no, covered_from, covered_through,
         record_ids, read_before_ms, staged_at)
    select :sync_no, :data_type, :slice_no, 1, 0, array_agg(record_id),
           array_agg(greatest(ceil(extract(epoch from now() - read_at) * 1000), 0)::integer), now()
    from {versions}
    where valid_to is null and record_id > :last_id and read_at > now() - :recent
      and valid_from > (
          select max(sync_no) from {schema}.ac_published
          where data_type = :data_type and kind = 'full'
      )
    having count(*) > 0
    returning cardinality(record_ids)
"""


def stage_unproven(
    database: Database, sync: Sync, name: DatasetName, slice_no: int, last_id: int
) -> int:
    """Stage the recent records above `last_id` that no full sync has read; return their number."""
    values = {"sync_no": sync.number, "slice_no": slice_no, "last_id": last_id, "recent": UNPROVEN}
    with holding_lease(database, sync) as connection:
        return run(connection, STAGE_UNPROVEN, name, **values).scalar() or 0


def add_to_kept_plan(connection: Connection, sync: Sync, name: DatasetName) -> None:
    """Let a full sync that resumes know what this incremental sync publishes."""
    values = {"sync_no": sync.number, "first_gap_slice": FIRST_GAP_SLICE}
    run(connection, DROP_OLDER_BODIES, name, sync_no=sync.number)
    run(connection, ADD_TO_PLAN, name, **values)


def drop_own(database: Database, sync: Sync) -> None:
    """Delete what this sync has staged, and nothing that a full sync could resume."""
    tables = (*(f"{{schema}}.{table}" for table in BODIES.values()), "{schema}.ac_staged_slices")
    with holding_lease(database, sync) as connection:
        for table in tables:
            run(connection, f"delete from {table} where sync_no = :sync_no", sync_no=sync.number)


def sweep_staging(database: Database, sync: Sync, published: Sequence[DatasetName]) -> None:
    """Free the space of published staging; a first sync stages the whole account.

    Truncating is safe, because readers never look here. Unpublished datasets keep their staging.
    """
    bodies = [f"{{schema}}.{BODIES[name]}" for name in published]
    of_all = ["{schema}.ac_staged_slices", "{schema}.ac_staged_plans"]
    with holding_lease(database, sync) as connection:
        if {*published} == {*DATASETS}:
            bodies += of_all
        else:
            for name in published:
                drop_all(connection, name)
        run(connection, f"truncate {', '.join(bodies)}")
