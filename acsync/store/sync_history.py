"""Read past syncs from the sync log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import chain
from typing import Any

from sqlalchemy import Connection, RowMapping

from acsync.datasets import DATASETS, DatasetName
from acsync.readings import Warnings
from acsync.results import Changes, DatasetResult, Recall, Sync, SyncKind
from acsync.store.database import Database, run

RECENT_SYNCS = 10

CHANGES = ("added", "updated", "deleted")
COUNTS = (*CHANGES, "masked", "refreshed", "dropped")

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


def read_results(connection: Connection, sync: Sync) -> dict[DatasetName, DatasetResult] | None:
    """Return how each dataset ended, or None while the log row is open.

    Changes of custom fields are not in the log.
    """
    sql = f"{SELECT} where id = :number and overall_success is not null"
    row = run(connection, sql, number=sync.number).mappings().one_or_none()
    if row is None:
        return None
    return dict(_sync_record(row).datasets)


def read_last_success(connection: Connection) -> datetime | None:
    """Return when the last complete full sync ended, or None."""
    sql = f"select max(finished_at) from {{schema}}.ac_sync_logs where overall_success and {FULL}"
    ended: datetime | None = run(connection, sql).scalar()
    return ended


def read_latest(
    connection: Connection, condition: str = "true", **values: Any
) -> SyncRecord | None:
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
    )
