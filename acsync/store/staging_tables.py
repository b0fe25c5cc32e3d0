"""Write to the tables of staged data without asking who has the lease.

The lease itself deletes what no sync can resume, and rewriting uses the tables while no sync runs.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.readings import EnrichedRecord
from acsync.store.database import BODIES, copy_rows, run

# All tables with staged data, and the condition that selects one dataset's rows.
STAGING = {
    "{bodies}": "true",
    "{schema}.ac_staged_slices": "data_type = :data_type",
    "{schema}.ac_staged_plans": "data_type = :data_type",
}

# Staging was compared with the snapshot of its time, so it is useless once a full sync has
# published a newer one. Incremental syncs add what they publish to it. The limit of a day is for
# datasets that are no longer copied; a sync that resumes slices checks their age itself.
USELESS_PLANS = """
    delete from {schema}.ac_staged_plans as plan
    where planned_at < clock_timestamp() - interval '1 day'
       or exists (
           select from {schema}.ac_published as published
           where published.data_type = plan.data_type and published.sync_no >= plan.sync_no
             and published.kind = 'full'
       )
"""


def copy_bodies(
    connection: Connection,
    name: DatasetName,
    bodies: Iterable[tuple[int, int, bool, EnrichedRecord]],
) -> None:
    """Append records, each with the numbers of its sync and slice and whether it is a refresh."""
    has_relations = bool(DATASETS[name].relations)
    rows = (
        (
            b"%d" % sync_no,
            b"%d" % slice_no,
            b"t" if is_refresh else b"f",
            b"%d" % record.record_id,
            b"\\x" + record.hash.hex().encode(),
            record.body,
            *([record.relations] if has_relations else []),
        )
        for sync_no, slice_no, is_refresh, record in bodies
    )
    columns = "sync_no, slice_no, is_refresh, record_id, hash, record"
    columns += ", relations" if has_relations else ""
    copy_rows(connection, f"{BODIES[name]} ({columns})", rows)


def drop_useless(connection: Connection) -> None:
    """Delete staging that no sync can resume."""
    run(connection, USELESS_PLANS)
    for name in DATASETS:
        for table in ("{bodies}", "{schema}.ac_staged_slices"):
            run(
                connection,
                f"delete from {table} as staged where {STAGING[table]} and not exists ("
                "select from {schema}.ac_staged_plans as plan "
                "where plan.data_type = :data_type and plan.sync_no = staged.sync_no)",
                name,
            )


def drop_all(connection: Connection, name: DatasetName) -> None:
    """Delete all that is staged of a dataset, in a transaction that holds the lease."""
    for table, is_of_dataset in STAGING.items():
        run(connection, f"delete from {table} where {is_of_dataset}", name)


def drop_everything(connection: Connection) -> None:
    """Delete what syncs have staged; no sync is running, and the next one reads all of it again."""
    for name in DATASETS:
        drop_all(connection, name)


def truncate_all(connection: Connection, name: DatasetName) -> None:
    """Delete all that is staged of a dataset, without dead rows that hold values."""
    run(connection, "truncate {bodies}", name)
    drop_all(connection, name)
