"""Keep the plan of a sync, so that the next one can resume it after a crash.

The next sync takes over the plan and its slices, as long as they are young enough and no newer
snapshot was published.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from acsync.datasets import DatasetName, RelationName
from acsync.results import Sync
from acsync.store.database import Database, run
from acsync.store.lease import holding_lease
from acsync.store.staging import OLDEST_READ
from acsync.store.staging_tables import STAGING, drop_all


def keep_plan(database: Database, sync: Sync, name: DatasetName, basis: str, plan: str) -> None:
    """Store a plan as JSON; only a sync with the same `basis` can resume it."""
    with holding_lease(database, sync) as connection:
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


def adopt_staging(
    database: Database, sync: Sync, name: DatasetName, basis: str, oldest: timedelta
) -> str | None:
    """Take over the staging of a crashed sync and return its plan as JSON.

    Slices with a record that was read longer than `oldest` ago are deleted. If there is no plan
    with this basis, or none of its slices is left, delete all staging and return None.
    """
    with holding_lease(database, sync) as connection:
        stored = run(
            connection,
            """
            select sync_no, plan::text as plan from {schema}.ac_staged_plans
            where data_type = :data_type and basis = :basis
            """,
            name,
            basis=basis,
        ).one_or_none()
        if stored is None or not _drop_old_slices(connection, stored.sync_no, name, oldest):
            drop_all(connection, name)
            return None
        _take_over(connection, sync, name, stored.sync_no)
        return str(stored.plan)


def _drop_old_slices(
    connection: Connection, sync_no: int, name: DatasetName, oldest: timedelta
) -> bool:
    """Delete slices that are too old or from the future; return whether any are left."""
    run(
        connection,
        f"""
        with old as (
            delete from {{schema}}.ac_staged_slices
            where sync_no = :sync_no and data_type = :data_type and (
                {OLDEST_READ} < clock_timestamp() - :oldest or staged_at > clock_timestamp()
            )
            returning slice_no
        )
        delete from {{bodies}} where sync_no = :sync_no and slice_no in (select slice_no from old)
        """,
        name,
        sync_no=sync_no,
        oldest=oldest,
    )
    sql = """
        select exists (
            select from {schema}.ac_staged_slices
            where sync_no = :sync_no and data_type = :data_type
        )
    """
    return bool(run(connection, sql, name, sync_no=sync_no).scalar_one())


def _take_over(connection: Connection, sync: Sync, name: DatasetName, sync_no: int) -> None:
    """Move the staging of one sync to another, and delete all other staging."""
    values = {"number": sync.number, "sync_no": sync_no}
    for table, is_of_dataset in STAGING.items():
        run(
            connection,
            f"delete from {table} where {is_of_dataset} and sync_no not in (:sync_no, :number)",
            name,
            **values,
        )
        run(
            connection,
            f"update {table} set sync_no = :number where {is_of_dataset} and sync_no <> :number",
            name,
            number=sync.number,
        )


def drop_plan(database: Database, sync: Sync, name: DatasetName) -> None:
    """Keep later syncs from resuming what is staged, because it is about to be judged."""
    sql = "delete from {schema}.ac_staged_plans where data_type = :data_type"
    with holding_lease(database, sync) as connection:
        run(connection, sql, name)


def drop_plan_with(
    database: Database, sync: Sync, name: DatasetName, relations: Sequence[RelationName]
) -> None:
    """Keep later syncs from resuming slices that lack relations which their plan has."""
    sql = """
        delete from {schema}.ac_staged_plans
        where data_type = :data_type
          and jsonb_exists_any(plan -> 'relations', cast(:relations as text[]))
    """
    with holding_lease(database, sync) as connection:
        run(connection, sql, name, relations=list(relations))


def read_resumed(database: Database, sync: Sync, name: DatasetName) -> tuple[int, datetime | None]:
    """Count the staged records read before this sync started, and return the oldest time."""
    sql = f"""
        select coalesce(sum(records), 0)::bigint, min(oldest_read)
        from (
            select records, {OLDEST_READ} as oldest_read from {{schema}}.ac_staged_slices
            where sync_no = :sync_no and data_type = :data_type
        ) as staged
        where oldest_read < :started_at
    """
    values = {"sync_no": sync.number, "started_at": sync.started_at}
    ((records, oldest_read),) = database.fetch(sql, name, **values)
    return records, oldest_read
