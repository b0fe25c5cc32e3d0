"""Open the log row of a new sync, and close the rows of those that died without a word."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from acsync.store.statements import run


@dataclass(frozen=True)
class Sync:
    """A sync that holds the lease; `number` orders syncs and marks the versions they made."""

    number: int
    sync_id: str
    started_at: datetime


RESUMABLE_MINUTES = 15

UNUSABLE_PLANS = f"""
    delete from {{schema}}.ac_staged_plans as plan
    where planned_at < clock_timestamp() - interval '{RESUMABLE_MINUTES} minutes'
       or exists (
           select from {{schema}}.ac_published as published
           where published.data_type = plan.data_type and published.sync_no >= plan.sync_no
       )
"""
"""What is staged was compared with the snapshot: once a newer one is published, it is void."""


def abandon_open_syncs(connection: Connection) -> None:
    """Close log rows whose sync died, and drop all staging that nobody can go on with."""
    reason = "abandoned: the sync ended without saying why, and its lease ran out"
    run(
        connection,
        """
        update {schema}.ac_sync_logs
        set overall_success = false, finished_at = clock_timestamp(),
            contacts_success = coalesce(contacts_success, false),
            contacts_error = case when contacts_success then contacts_error else :reason end,
            deals_success = coalesce(deals_success, false),
            deals_error = case when deals_success then deals_error else :reason end
        where overall_success is null
        """,
        reason=reason,
    )
    run(connection, UNUSABLE_PLANS)
    for table in ("ac_staged_records", "ac_staged_slices"):
        run(
            connection,
            f"delete from {{schema}}.{table} as staged where not exists ("
            "select from {schema}.ac_staged_plans as plan "
            "where plan.data_type = staged.data_type and plan.sync_no = staged.sync_no)",
        )


def open_log(connection: Connection, flow_run_id: str | None) -> Sync:
    """Write the log row; the lease's lock lets no two syncs choose an id at the same time."""
    row = run(
        connection,
        """
        insert into {schema}.ac_sync_logs (sync_id, "timestamp", flow_run_id)
        select 'sync-' || greatest(
                   floor(extract(epoch from clock_timestamp()) * 1000)::bigint,
                   (select substr(sync_id, 6)::bigint + 1
                    from {schema}.ac_sync_logs order by id desc limit 1)
               ), clock_timestamp(), :flow_run_id
        returning id, sync_id, "timestamp"
        """,
        flow_run_id=flow_run_id,
    ).one()
    return Sync(row.id, row.sync_id, row.timestamp)
