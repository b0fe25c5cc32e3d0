"""Write the sync log: one row per sync, opened at its start and closed at its end."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.readings import Pace
from acsync.results import CallCounts, DatasetResult, Sync, SyncKind
from acsync.store.database import Database, run

# The columns of a dataset with numbers of records, as the fields of `Changes` are called.
CHANGES = ("added", "updated", "deleted")
COUNTS = (*CHANGES, "masked", "refreshed", "dropped")


def close_crashed(connection: Connection) -> None:
    """Close the log rows of crashed syncs."""
    reason = "The sync crashed: it did not close its log row, and its lease expired."
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


def open_log(connection: Connection, flow_run_id: str | None, kind: SyncKind) -> Sync:
    """Insert the log row; the lease's lock keeps two syncs from choosing the same id."""
    row = run(
        connection,
        """
        insert into {schema}.ac_sync_logs (sync_id, "timestamp", flow_run_id, kind)
        select 'sync-' || greatest(
                   floor(extract(epoch from clock_timestamp()) * 1000)::bigint,
                   (select substr(sync_id, 6)::bigint + 1
                    from {schema}.ac_sync_logs order by id desc limit 1)
               ), clock_timestamp(), :flow_run_id, :kind
        returning id, sync_id, "timestamp"
        """,
        flow_run_id=flow_run_id,
        kind=kind,
    ).one()
    return Sync(row.id, row.sync_id, row.timestamp, kind)


def record_plan(database: Database, sync: Sync, name: DatasetName, expected: int) -> None:
    """Record the expected number of records, for the progress."""
    with database.begin() as connection:
        _update_log(connection, sync, {f"{name}_expected": expected})


def record_total(
    database: Database, sync: Sync, name: DatasetName, total: int | None, difference: int
) -> None:
    """Record the total from the newest page at the end of a walk.

    `difference` is by how many records the total contradicts the walk.
    """
    values = {f"{name}_difference": difference}
    if total is not None:
        values[f"{name}_expected"] = total
    with database.begin() as connection:
        _update_log(connection, sync, values)


CLOSE = """
    finished_at = clock_timestamp(), total_duration_ms =
        floor(extract(epoch from clock_timestamp() - "timestamp") * 1000)::bigint
"""


def finish_log(
    connection: Connection,
    sync: Sync,
    results: Mapping[DatasetName, DatasetResult],
    calls: CallCounts,
    pace: Pace,
) -> None:
    """Close the log row; the columns of a dataset that was not copied stay null.

    If the next sync considered this one crashed and closed its row, the row is not changed.
    """
    refused = [(rate, bar.age_seconds, bar.bar_seconds) for rate, bar in pace.refused.items()]
    values: dict[str, Any] = {
        "overall_success": all(result.success for result in results.values()),
        "api_calls": calls.calls,
        "retries": calls.retries,
        "rate_limited": calls.rate_limited,
        "learned_rate": pace.learned_rate,
        "pace": json.dumps([pace.rate, refused, pace.margin_seconds]),
    }
    for name, result in results.items():
        values |= _dataset_values(name, result)
    _update_log(connection, sync, values, CLOSE)


# Sums, so that metrics which count up never fall.
SUMMED = (
    *("api_calls", "retries", "rate_limited"),
    *(f"{name}_{change}" for name in DATASETS for change in CHANGES),
)
THIN_LOG = f"""
    with old as (
        select *, max(id) over (partition by date_trunc('day', "timestamp" at time zone 'UTC'))
            as last_of_day
        from {{schema}}.ac_sync_logs as log
        where kind = 'incremental' and finished_at < now() - interval '1 day' and not exists (
            select from {{schema}}.ac_published as published where published.sync_no = log.id
        )
    ), summed as (
        select last_of_day, {", ".join(f"sum({column}) as {column}" for column in SUMMED)}
        from old group by last_of_day having count(*) > 1
    ), kept as (
        update {{schema}}.ac_sync_logs as log
        set {", ".join(f"{column} = summed.{column}" for column in SUMMED)}
        from summed where log.id = last_of_day
    )
    delete from {{schema}}.ac_sync_logs as log using old
    where log.id = old.id and old.id <> last_of_day
"""


def thin_log(connection: Connection) -> None:
    """Sum up the rows of incremental syncs that are older than a day and not in the history."""
    run(connection, THIN_LOG)


def add_warning(database: Database, sync: Sync, name: DatasetName, warning: str) -> None:
    """Add a warning to the log row of a finished sync."""
    column = f"{name}_warnings"
    with database.begin() as connection:
        run(
            connection,
            f"update {{schema}}.ac_sync_logs set {column} = array_append({column}, :warning) "
            "where id = :number",
            number=sync.number,
            warning=warning,
        )


def _dataset_values(name: DatasetName, result: DatasetResult) -> dict[str, Any]:
    values: dict[str, Any] = {
        "success": result.success,
        "error": result.error,
        "warnings": list(result.warnings),
        "duration_ms": result.duration_ms,
    }
    if changes := result.changes:
        values["count"] = changes.records
        values |= {count: getattr(changes, count) for count in COUNTS}
    if recall := result.recall:
        values |= {"seen": recall.seen, "missed": json.dumps(recall.missed)}
    if result.left_out:
        values["left_out"] = list(result.left_out)
    return {f"{name}_{key}": value for key, value in values.items()}


def _update_log(
    connection: Connection, sync: Sync, values: Mapping[str, Any], *computed: str
) -> None:
    assignments = ", ".join([*(f"{column} = :{column}" for column in values), *computed])
    run(
        connection,
        f"update {{schema}}.ac_sync_logs set {assignments} "
        "where id = :number and overall_success is null",
        number=sync.number,
        **values,
    )
