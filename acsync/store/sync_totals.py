"""Sum up the sync log for the dashboard and the metrics.

Outcomes and averages are those of full syncs. Calls and changes are those of all syncs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.errors import sanitize
from acsync.store.database import run
from acsync.store.sync_history import CHANGES, FULL, read_latest


@dataclass(frozen=True)
class Failing:
    """The full syncs that failed since the last complete one, with the errors of the newest."""

    syncs: int
    since: datetime
    errors: Mapping[DatasetName, str]


@dataclass(frozen=True)
class Period:
    """The finished full syncs of some hours.

    `contacts` and `deals` are the records of the last sync. `refused` is a sum. The changes, calls
    and `duration_ms` are averages per sync.
    """

    start: datetime
    contacts: int | None
    deals: int | None
    added: float
    updated: float
    deleted: float
    duration_ms: float
    longest_ms: int
    calls: float
    refused: int


@dataclass(frozen=True)
class Totals:
    """Sums over the whole log, which never fall, and the last finished sync.

    `changes` are records by dataset and kind of change.
    """

    succeeded: int
    failed: int
    calls: int
    retries: int
    refused: int
    changes: Mapping[tuple[DatasetName, str], int]
    last_success: bool | None
    last_duration_ms: int | None


def read_failing(connection: Connection) -> Failing | None:
    """Return the failures since the last complete sync; None if the last was complete."""
    sql = """
        select count(*) over () as syncs, min("timestamp") over () as since,
               contacts_error, deals_error
        from {schema}.ac_sync_logs
        where finished_at is not null and kind = 'full' and id > coalesce(
            (select max(id) from {schema}.ac_sync_logs
             where overall_success and kind = 'full'), 0)
        order by id desc limit 1
    """
    row = run(connection, sql).one_or_none()
    if row is None:
        return None
    errors = {name: getattr(row, f"{name}_error") for name in DATASETS}
    return Failing(
        row.syncs, row.since, {name: sanitize(error) for name, error in errors.items() if error}
    )


def read_periods(connection: Connection, days: int, hours: int) -> tuple[Period, ...]:
    """Return the last `days` in periods of `hours`, oldest first, without empty periods."""
    sql = """
        select to_timestamp(floor(extract(epoch from "timestamp") / :seconds) * :seconds) as start,
               (array_agg(contacts_count order by id desc)
                    filter (where contacts_count is not null))[1],
               (array_agg(deals_count order by id desc)
                    filter (where deals_count is not null))[1],
               avg(coalesce(contacts_added, 0) + coalesce(deals_added, 0))::float8,
               avg(coalesce(contacts_updated, 0) + coalesce(deals_updated, 0))::float8,
               avg(coalesce(contacts_deleted, 0) + coalesce(deals_deleted, 0))::float8,
               avg(coalesce(total_duration_ms, 0))::float8, coalesce(max(total_duration_ms), 0),
               avg(coalesce(api_calls, 0))::float8, coalesce(sum(rate_limited), 0)
        from {schema}.ac_sync_logs
        where finished_at is not null and kind = 'full'
          and "timestamp" > clock_timestamp() - make_interval(days => :days)
        group by start order by start
    """
    rows = run(connection, sql, days=days, seconds=hours * 3600)
    return tuple(Period(*row) for row in rows)


def read_totals(connection: Connection) -> Totals:
    """Return the sums over all finished syncs."""
    sums = (
        f"coalesce(sum({name}_{change}), 0)::bigint as {name}_{change}"
        for name in DATASETS
        for change in CHANGES
    )
    sql = f"""
        select count(*) filter (where overall_success and kind = 'full') as succeeded,
               count(*) filter (where not overall_success and kind = 'full') as failed,
               coalesce(sum(api_calls), 0)::bigint as calls,
               coalesce(sum(retries), 0)::bigint as retries,
               coalesce(sum(rate_limited), 0)::bigint as refused,
               {", ".join(sums)}
        from {{schema}}.ac_sync_logs where finished_at is not null
    """
    row = run(connection, sql).mappings().one()
    last = read_latest(connection, FULL)
    return Totals(
        row["succeeded"],
        row["failed"],
        row["calls"],
        row["retries"],
        row["refused"],
        {(name, change): row[f"{name}_{change}"] for name in DATASETS for change in CHANGES},
        last.success if last else None,
        last.duration_ms if last else None,
    )
