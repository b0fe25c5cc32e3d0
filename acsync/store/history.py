"""Read how the last syncs went, from the log alone: for the dashboard and for metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping

from acsync.datasets import DATASETS, DatasetName
from acsync.errors import sanitize
from acsync.store.database import Database, run

STRIP_SYNCS = 50


@dataclass(frozen=True)
class LoggedDataset:
    """One dataset of one sync; the counts are None where nothing was published."""

    success: bool
    duration_ms: int | None
    count: int | None
    error: str | None
    added: int | None
    updated: int | None
    deleted: int | None


@dataclass(frozen=True)
class LoggedRun:
    """One sync; `success` and `duration_ms` are None while it is running.

    `masked` are the deals that the key's user may not see, `learned_rate` the calls a second that
    the account was found to allow.
    """

    sync_id: str
    started: datetime
    duration_ms: int | None
    success: bool | None
    datasets: Mapping[DatasetName, LoggedDataset]
    calls: int | None
    refused: int | None
    flow_run_id: str | None
    masked: int | None
    learned_rate: float | None

    def total(self, change: str) -> int:
        """Return the records that were `added`, `updated` or `deleted`, or the `count` of all."""
        return sum(getattr(dataset, change) or 0 for dataset in self.datasets.values())


@dataclass(frozen=True)
class Failing:
    """The syncs that failed since the last complete one: how many, since when, and why the last."""

    syncs: int
    since: datetime
    errors: Mapping[DatasetName, str]


@dataclass(frozen=True)
class Period:
    """The finished syncs of some hours.

    Records are those of the last sync in it, changes, calls and milliseconds are those of a sync
    on average, and `refused` is the sum.
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
    """Sums over the whole log, which only grow, and the last finished sync.

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


CHANGES = ("added", "updated", "deleted")


def read_runs(connection: Connection, most: int = STRIP_SYNCS) -> tuple[LoggedRun, ...]:
    """Return the last syncs, the newest first."""
    sql = "select * from {schema}.ac_sync_logs order by id desc limit :most"
    return tuple(_logged_run(row) for row in run(connection, sql, most=most).mappings())


def read_run(database: Database, flow_run_id: str) -> LoggedRun | None:
    """Return the finished sync of a flow run; None where it made none."""
    sql = """
        select * from {schema}.ac_sync_logs
        where flow_run_id = :flow_run_id and finished_at is not null order by id desc limit 1
    """
    with database.begin() as connection:
        row = run(connection, sql, flow_run_id=flow_run_id).mappings().one_or_none()
    return _logged_run(row) if row else None


def read_run_after(database: Database, sync_id: str | None) -> LoggedRun | None:
    """Return the newest finished sync that began after another; None where there is none."""
    sql = """
        select * from {schema}.ac_sync_logs
        where finished_at is not null and id > coalesce(
            (select id from {schema}.ac_sync_logs where sync_id = :sync_id), 0)
        order by id desc limit 1
    """
    with database.begin() as connection:
        row = run(connection, sql, sync_id=sync_id).mappings().one_or_none()
    return _logged_run(row) if row else None


def _logged_run(row: RowMapping) -> LoggedRun:
    datasets: dict[DatasetName, LoggedDataset] = {
        name: LoggedDataset(
            row[f"{name}_success"],
            row[f"{name}_duration_ms"],
            row[f"{name}_count"],
            row[f"{name}_error"],
            *(row[f"{name}_{change}"] for change in CHANGES),
        )
        for name in DATASETS
        if row[f"{name}_success"] is not None
    }
    return LoggedRun(
        row["sync_id"],
        row["timestamp"],
        row["total_duration_ms"],
        row["overall_success"],
        datasets,
        row["api_calls"],
        row["rate_limited"],
        row["flow_run_id"],
        row["deals_masked"],
        row["learned_rate"],
    )


def read_failing(connection: Connection) -> Failing | None:
    """Return what has failed since the last complete sync; None where the last was complete."""
    sql = """
        select count(*) over () as syncs, min("timestamp") over () as since,
               contacts_error, deals_error
        from {schema}.ac_sync_logs
        where finished_at is not null and id > coalesce(
            (select max(id) from {schema}.ac_sync_logs where overall_success), 0)
        order by id desc limit 1
    """
    row = run(connection, sql).one_or_none()
    if row is None:
        return None
    errors: dict[DatasetName, str | None] = {
        "contacts": row.contacts_error,
        "deals": row.deals_error,
    }
    return Failing(
        row.syncs, row.since, {name: sanitize(error) for name, error in errors.items() if error}
    )


def read_periods(connection: Connection, days: int, hours: int) -> tuple[Period, ...]:
    """Return the last `days` in periods of `hours`, the oldest first; empty ones are left out."""
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
        where finished_at is not null
          and "timestamp" > clock_timestamp() - make_interval(days => :days)
        group by start order by start
    """
    rows = run(connection, sql, days=days, seconds=hours * 3600)
    return tuple(Period(*row) for row in rows)


def read_totals(connection: Connection) -> Totals:
    """Return the sums over all finished syncs."""
    sums = {
        f"{name}_{change}": f"coalesce(sum({name}_{change}), 0)::bigint as {name}_{change}"
        for name in DATASETS
        for change in CHANGES
    }
    sql = f"""
        select count(*) filter (where overall_success) as succeeded,
               count(*) filter (where not overall_success) as failed,
               coalesce(sum(api_calls), 0)::bigint as calls,
               coalesce(sum(retries), 0)::bigint as retries,
               coalesce(sum(rate_limited), 0)::bigint as refused,
               {", ".join(sums.values())}
        from {{schema}}.ac_sync_logs where finished_at is not null
    """
    row = run(connection, sql).mappings().one()
    last = run(
        connection,
        "select overall_success, total_duration_ms from {schema}.ac_sync_logs "
        "where finished_at is not null order by id desc limit 1",
    ).one_or_none()
    return Totals(
        row["succeeded"],
        row["failed"],
        row["calls"],
        row["retries"],
        row["refused"],
        {(name, change): row[f"{name}_{change}"] for name in DATASETS for change in CHANGES},
        last.overall_success if last else None,
        last.total_duration_ms if last else None,
    )
