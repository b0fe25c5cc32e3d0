"""Keep what a sync has read where no reader looks, until all of it can be published.

Only new and changed records are staged with their bodies, unchanged ones as ids. A staged slice is
an interval of ids that was read, at whatever moment: with the plan it was cut from, and compared
with the same snapshot, it proves as much for a later sync. So a sync resumes what a crashed one
staged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from acsync.models import DatasetName, EnrichedRecord, Interval, Sync
from acsync.store.database import BODIES, STAGING, Database, copy_rows, run
from acsync.store.lease import require_lease


@dataclass(frozen=True)
class StagedSlice:
    """One slice as read: the ids it covers and holds; `changed` of them have new bodies."""

    number: int
    covered: Interval
    record_ids: Sequence[int]
    changed: Sequence[EnrichedRecord]
    masked_ids: Sequence[int]


def stage_slice(database: Database, sync: Sync, name: DatasetName, staged: StagedSlice) -> None:
    """Stage one slice whole, in place of an earlier try; raise LeaseLost without the lease."""
    _drop_slice(database, sync, name, staged.number)
    with database.begin() as connection:
        _copy_records(connection, sync, name, staged)
        # Only now: a worker that is frozen while it sends rows must not hold the lease's lock.
        require_lease(connection, sync, lock="key share")
        run(
            connection,
            """
            insert into {schema}.ac_staged_slices
                (sync_no, data_type, slice_no, covered_from, covered_through,
                 record_ids, masked_ids, staged_at)
            values (:sync_no, :data_type, :slice_no, :covered_from, :covered_through,
                    cast(:record_ids as bigint[]), cast(:masked_ids as bigint[]),
                    clock_timestamp())
            """,
            name,
            sync_no=sync.number,
            slice_no=staged.number,
            covered_from=staged.covered.first,
            covered_through=staged.covered.last,
            record_ids=list(staged.record_ids),
            masked_ids=list(staged.masked_ids),
        )


def _drop_slice(database: Database, sync: Sync, name: DatasetName, number: int) -> None:
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        for table in ("{bodies}", "{schema}.ac_staged_slices"):
            run(
                connection,
                f"delete from {table} "
                f"where {STAGING[table]} and sync_no = :sync_no and slice_no = :slice_no",
                name,
                sync_no=sync.number,
                slice_no=number,
            )


def _copy_records(
    connection: Connection, sync: Sync, name: DatasetName, staged: StagedSlice
) -> None:
    slice_key = (b"%d" % sync.number, b"%d" % staged.number)
    rows = (
        (*slice_key, b"%d" % record.record_id, b"\\x" + record.hash.hex().encode(), record.body)
        for record in staged.changed
    )
    copy_rows(connection, f"{BODIES[name]} (sync_no, slice_no, record_id, hash, record)", rows)


def read_coverage(database: Database, sync: Sync, name: DatasetName) -> dict[int, Interval]:
    """Return the ids that each staged slice covers, by the slice's number, in id order."""
    sql = """
        select slice_no, covered_from, covered_through from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
        order by covered_from, covered_through, slice_no
    """
    with database.begin() as connection:
        rows = run(connection, sql, name, sync_no=sync.number)
        return {row.slice_no: Interval(row.covered_from, row.covered_through) for row in rows}


def count_staged_records(database: Database, sync: Sync, name: DatasetName) -> int:
    """Return how many records are staged; those of two slices count twice."""
    sql = """
        select coalesce(sum(records), 0)::bigint from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    """
    with database.begin() as connection:
        counted: int = run(connection, sql, name, sync_no=sync.number).scalar_one()
        return counted


def keep_plan(database: Database, sync: Sync, name: DatasetName, basis: str, plan: str) -> None:
    """Keep a plan, as JSON; `basis` names all that must be the same for a sync to resume it."""
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        run(
            connection,
            """
            insert into {schema}.ac_staged_plans (data_type, sync_no, basis, plan, planned_at)
            values (:data_type, :sync_no, :basis, cast(:plan as jsonb), clock_timestamp())
            on conflict (data_type) do update
            set sync_no = excluded.sync_no, basis = excluded.basis, plan = excluded.plan,
                planned_at = excluded.planned_at
            """,
            name,
            sync_no=sync.number,
            basis=basis,
            plan=plan,
        )


def adopt_staging(database: Database, sync: Sync, name: DatasetName, basis: str) -> str | None:
    """Make a crashed sync's staging this sync's, and return its plan; None where there is none.

    What is stale or was published is deleted when a sync starts, what has another basis here.
    """
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        found = run(
            connection,
            """
            select sync_no, plan::text as plan from {schema}.ac_staged_plans
            where data_type = :data_type and basis = :basis
            """,
            name,
            basis=basis,
        ).one_or_none()
        crashed = found.sync_no if found else sync.number
        for table, is_of_dataset in STAGING.items():
            run(
                connection,
                f"delete from {table} where {is_of_dataset} and sync_no not in (:crashed, :number)",
                name,
                crashed=crashed,
                number=sync.number,
            )
            run(
                connection,
                f"update {table} set sync_no = :number "
                f"where {is_of_dataset} and sync_no <> :number",
                name,
                number=sync.number,
            )
        return found.plan if found else None


def sweep_staging(database: Database, sync: Sync) -> None:
    """Free the space of what was published at once; a first sync stages the whole account.

    No reader looks here.
    """
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        bodies = ", ".join(f"{{schema}}.{table}" for table in BODIES.values())
        run(
            connection,
            f"truncate {bodies}, {{schema}}.ac_staged_slices, {{schema}}.ac_staged_plans",
        )
