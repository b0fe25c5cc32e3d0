"""Read the sync log: single syncs, what the next sync learns from them, and sums over many."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import chain
from typing import Any

from sqlalchemy import Connection, RowMapping

from acsync.datasets import DATASETS, DatasetName
from acsync.errors import sanitize
from acsync.readings import Pace, RefusedRate, Warnings
from acsync.results import Changes, DatasetResult, Recall, Sync, SyncKind
from acsync.store.database import Database, run
from acsync.store.sync_log import CHANGES, COUNTS

RECENT_SYNCS = 10

SELECT = "select * from {schema}.ac_sync_logs"

FULL = "kind = 'full'"


@dataclass(frozen=True)
class SyncRecord:
    """One row of the log; `success` and `duration_ms` are None while the sync is running.

    `learned_rate` is the rate in calls per second that the account allows, if the sync learned it.
    """

    sync_id: str
    started: datetime
    duration_ms: int | None
    success: bool | None
    datasets: Mapping[DatasetName, DatasetResult]
    calls: int | None = None
    refused: int | None = None
    flow_run_id: str | None = None
    learned_rate: float | None = None
    kind: SyncKind = "full"

    def total(self, field: str) -> int:
        """Return the sum of a count of `Changes` over the datasets, such as `added`."""
        return sum(getattr(each.changes, field, 0) or 0 for each in self.datasets.values())

    @property
    def errors(self) -> Mapping[DatasetName, str]:
        """Return why datasets were not published, without those that were."""
        return {name: data.error for name, data in self.datasets.items() if data.error}

    @property
    def warnings(self) -> Warnings:
        """Return the warnings of all datasets, each once."""
        warnings = (dataset.warnings for dataset in self.datasets.values())
        return tuple(dict.fromkeys(chain.from_iterable(warnings)))

    def as_json(self) -> dict[str, Any]:
        """Return the columns of the view `ac_latest_sync`."""
        datasets = {
            f"{name}_{field}": getattr(self.datasets.get(name), field, None)
            for name in DATASETS
            for field in ("success", "count", "error")
        }
        return {
            "sync_id": self.sync_id,
            "timestamp": self.started.isoformat(),
            "total_duration_ms": self.duration_ms,
            "duration_seconds": _divide(self.duration_ms, 1_000),
            "duration_minutes": _divide(self.duration_ms, 60_000),
            **datasets,
            "overall_success": self.success,
        }


def _divide(milliseconds: int | None, divisor: int) -> float | None:
    if milliseconds is None:
        return None
    return float((Decimal(milliseconds) / divisor).quantize(Decimal("0.01"), ROUND_HALF_UP))


def read_recent_syncs(database: Database, kind: SyncKind = "full") -> tuple[SyncRecord, ...]:
    """Return the last ten syncs of a kind, the newest first; a running sync is included."""
    with database.begin() as connection:
        return read_syncs(connection, RECENT_SYNCS, kind)


def read_syncs(
    connection: Connection, most: int, kind: SyncKind = "full"
) -> tuple[SyncRecord, ...]:
    """Return the last syncs of a kind, the newest first; a running sync is included."""
    sql = f"{SELECT} where kind = :kind order by id desc limit :most"
    return tuple(map(_sync_record, run(connection, sql, most=most, kind=kind).mappings()))


def read_sync_of_run(database: Database, flow_run_id: str) -> SyncRecord | None:
    """Return the finished sync of a flow run, or None."""
    with database.begin() as connection:
        return read_latest(connection, "flow_run_id = :flow_run_id", flow_run_id=flow_run_id)


def read_sync_after(database: Database, sync_id: str | None) -> SyncRecord | None:
    """Return the newest finished full sync that started after another one, or None."""
    condition = f"""
        {FULL} and id > coalesce(
            (select id from {{schema}}.ac_sync_logs where sync_id = :sync_id), 0)
    """
    with database.begin() as connection:
        return read_latest(connection, condition, sync_id=sync_id)


def read_last_success(connection: Connection) -> datetime | None:
    """Return when the last complete full sync ended, or None."""
    sql = f"select max(finished_at) from {{schema}}.ac_sync_logs where overall_success and {FULL}"
    ended: datetime | None = run(connection, sql).scalar()
    return ended


def read_latest(connection: Connection, condition: str, **values: Any) -> SyncRecord | None:
    """Return the last finished sync that meets the condition, or None."""
    sql = f"{SELECT} where finished_at is not null and {condition} order by id desc limit 1"
    row = run(connection, sql, **values).mappings().one_or_none()
    return _sync_record(row) if row else None


def _sync_record(row: RowMapping) -> SyncRecord:
    return SyncRecord(
        row["sync_id"],
        row["timestamp"],
        row["total_duration_ms"],
        row["overall_success"],
        {
            name: _dataset_result(name, row)
            for name in DATASETS
            if row[f"{name}_success"] is not None
        },
        row["api_calls"],
        row["rate_limited"],
        row["flow_run_id"],
        row["learned_rate"],
        row["kind"],
    )


def _dataset_result(name: DatasetName, row: RowMapping) -> DatasetResult:
    counts = (row[f"{name}_{column}"] or 0 for column in ("count", *COUNTS))
    seen, missed = row[f"{name}_seen"], row[f"{name}_missed"]
    return DatasetResult(
        row[f"{name}_duration_ms"],
        Changes(*counts) if row[f"{name}_success"] else None,
        row[f"{name}_error"],
        tuple(row[f"{name}_warnings"] or ()),
        recall=None if seen is None else Recall(seen, missed or {}),
        left_out=tuple(row[f"{name}_left_out"] or ()),
    )


def read_last_full(database: Database, name: DatasetName) -> DatasetResult | None:
    """Return how the last full sync published a dataset, or None if none did."""
    condition = """
        id = (select max(sync_no) from {schema}.ac_published
              where data_type = :data_type and kind = 'full')
    """
    with database.begin() as connection:
        record = read_latest(connection, condition, data_type=name)
    return record.datasets.get(name) if record else None


def read_differences(database: Database, sync: Sync, name: DatasetName) -> list[int]:
    """Return a dataset's last ten differences before this sync, newest first."""
    sql = f"""
        select {name}_difference from {{schema}}.ac_sync_logs
        where id < :number and {name}_difference is not null order by id desc limit 10
    """
    return [difference for (difference,) in database.fetch(sql, number=sync.number)]


def read_pace(database: Database) -> Pace | None:
    """Return the pace at the end of the last sync, or None if no sync called the account."""
    sql = """
        select pace, extract(epoch from clock_timestamp() - finished_at)::float8 as age
        from {schema}.ac_sync_logs
        where finished_at is not null and api_calls > 0 and pace is not null
        order by id desc limit 1
    """
    rows = database.fetch(sql)
    if not rows:
        return None
    (rate, refused, margin), ended_ago = rows[0]
    # Earlier versions kept no bar, and took other programs for the limit: their rates are tried
    # again at once.
    bars = {slower: RefusedRate(age + ended_ago, *(bar or [0.0])) for slower, age, *bar in refused}
    return Pace(rate, bars, margin)


@dataclass(frozen=True)
class Failing:
    """The full syncs that failed since the last complete one, with the errors of the newest."""

    syncs: int
    since: datetime
    errors: Mapping[DatasetName, str]


def read_failing(connection: Connection) -> Failing | None:
    """Return the failures since the last complete sync; None if the last was complete."""
    sql = f"""
        select *, count(*) over () as syncs, min("timestamp") over () as since
        from {{schema}}.ac_sync_logs
        where finished_at is not null and {FULL} and id > coalesce(
            (select max(id) from {{schema}}.ac_sync_logs where overall_success and {FULL}), 0)
        order by id desc limit 1
    """
    row = run(connection, sql).mappings().one_or_none()
    if row is None:
        return None
    errors = {name: sanitize(error) for name, error in _sync_record(row).errors.items()}
    return Failing(row["syncs"], row["since"], errors)


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


def read_periods(connection: Connection, days: int, hours: int) -> tuple[Period, ...]:
    """Return the last `days` in periods of `hours`, oldest first, without empty periods."""
    last = "(array_agg({0} order by id desc) filter (where {0} is not null))[1]"
    average = "avg(coalesce(contacts_{0}, 0) + coalesce(deals_{0}, 0))::float8"
    sql = f"""
        select to_timestamp(floor(extract(epoch from "timestamp") / :seconds) * :seconds) as start,
               {last.format("contacts_count")}, {last.format("deals_count")},
               {", ".join(map(average.format, CHANGES))},
               avg(coalesce(total_duration_ms, 0))::float8, coalesce(max(total_duration_ms), 0),
               avg(coalesce(api_calls, 0))::float8, coalesce(sum(rate_limited), 0)
        from {{schema}}.ac_sync_logs
        where finished_at is not null and {FULL}
          and "timestamp" > clock_timestamp() - make_interval(days => :days)
        group by start order by start
    """
    rows = run(connection, sql, days=days, seconds=hours * 3600)
    return tuple(Period(*row) for row in rows)


@dataclass(frozen=True)
class Totals:
    """Sums over the whole log, which never fall. Outcomes are those of full syncs.

    `changes` are records by dataset and kind of change.
    """

    succeeded: int
    failed: int
    calls: int
    retries: int
    refused: int
    changes: Mapping[tuple[DatasetName, str], int]


def read_totals(connection: Connection) -> Totals:
    """Return the sums over all finished syncs."""
    changes = [(name, change) for name in DATASETS for change in CHANGES]
    columns = ("api_calls", "retries", "rate_limited", *map("_".join, changes))
    sql = f"""
        select count(*) filter (where overall_success and {FULL}),
               count(*) filter (where not overall_success and {FULL}),
               {", ".join(f"coalesce(sum({column}), 0)::bigint" for column in columns)}
        from {{schema}}.ac_sync_logs where finished_at is not null
    """
    succeeded, failed, calls, retries, refused, *sums = run(connection, sql).one()
    return Totals(succeeded, failed, calls, retries, refused, dict(zip(changes, sums, strict=True)))
