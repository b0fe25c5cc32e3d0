"""Keep what a sync has read so far where no reader looks, until all of it can be published.

Only new and changed records are staged with their body; unchanged ones as ids.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from acsync.models import DATASETS, DatasetName, Record, Sync
from acsync.store.database import Database
from acsync.store.lease import require_lease
from acsync.store.sql import copy_rows, run
from acsync.store.staged_ids import STAGED_IDS, STAGED_MASKED, forbid_nested_loops


@dataclass(frozen=True)
class StagedRecord:
    """A new or changed record; `body` is UTF-8 JSON without NUL."""

    record_id: int
    hash: bytes
    body: bytes


@dataclass(frozen=True)
class StagedSlice:
    """One slice as read: it covers every id from `covered_from` to `covered_through`."""

    number: int
    covered_from: int
    covered_through: int
    record_ids: list[int]
    changed: list[StagedRecord]
    masked_ids: list[int]


@dataclass(frozen=True)
class Coverage:
    """The ids that a staged slice covers, both ends included."""

    slice_no: int
    covered_from: int
    covered_through: int


@dataclass(frozen=True)
class StagedCounts:
    """What the gate judges by; a record read by two slices counts once.

    `planned_records` of `records` existed when the walk was planned; `vanished` of the
    `published` ones were not read.
    """

    records: int
    planned_records: int
    masked: int
    vanished: int
    published: int


def published_ids(database: Database, name: DatasetName) -> list[int]:
    """Give the ids of the published snapshot, in order."""
    sql = "select record_id from {versions} where valid_to is null order by record_id"
    with database.begin() as connection:
        return list(run(connection, sql, name).scalars())


def published_hashes(database: Database, name: DatasetName, ids: Sequence[int]) -> dict[int, bytes]:
    """Give the hashes of those ids that are published."""
    sql = """
        select record_id, hash from {versions}
        where valid_to is null and record_id = any(cast(:ids as bigint[]))
    """
    with database.begin() as connection:
        return {row.record_id: bytes(row.hash) for row in run(connection, sql, name, ids=list(ids))}


def published_records(
    database: Database, name: DatasetName, ids: Sequence[int]
) -> dict[int, Record]:
    """Give those of the records that are published, numbers with all their digits."""
    sql = """
        select record_id, record::text as body from {versions}
        where valid_to is null and record_id = any(cast(:ids as bigint[]))
    """
    with database.begin() as connection:
        return {
            # As decimals, since Python refuses to read an int of more than 4,300 digits.
            row.record_id: json.loads(row.body, parse_float=Decimal, parse_int=Decimal)
            for row in run(connection, sql, name, ids=list(ids))
        }


def stage_slice(database: Database, sync: Sync, name: DatasetName, staged: StagedSlice) -> None:
    """Stage one slice whole, in place of an earlier try; raises LeaseLost."""
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        for table in ("ac_staged_records", "ac_staged_slices"):
            run(
                connection,
                f"delete from {{schema}}.{table} where sync_no = :sync_no "
                "and data_type = :data_type and slice_no = :slice_no",
                name,
                sync_no=sync.number,
                slice_no=staged.number,
            )
        _copy_records(connection, sync, name, staged)
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
            covered_from=staged.covered_from,
            covered_through=staged.covered_through,
            record_ids=staged.record_ids,
            masked_ids=staged.masked_ids,
        )


def _copy_records(
    connection: Connection, sync: Sync, name: DatasetName, staged: StagedSlice
) -> None:
    slice_key = (b"%d" % sync.number, name.encode(), b"%d" % staged.number)
    rows = (
        (*slice_key, b"%d" % record.record_id, b"\\x" + record.hash.hex().encode(), record.body)
        for record in staged.changed
    )
    columns = "sync_no, data_type, slice_no, record_id, hash, record"
    copy_rows(connection, f"ac_staged_records ({columns})", rows)


def sweep_staging(database: Database, sync: Sync) -> None:
    """Give the space of what was published back at once; a first sync staged the account whole.

    No reader looks here but the progress, which waits for some milliseconds.
    """
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        run(
            connection,
            "truncate {schema}.ac_staged_records, {schema}.ac_staged_slices, "
            "{schema}.ac_staged_plans",
        )


def read_coverage(database: Database, sync: Sync, name: DatasetName) -> list[Coverage]:
    """Give what the staged slices cover, in id order."""
    sql = """
        select slice_no, covered_from, covered_through from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
        order by covered_from, covered_through, slice_no
    """
    with database.begin() as connection:
        return [Coverage(*row) for row in run(connection, sql, name, sync_no=sync.number)]


def count_staged(
    database: Database, sync: Sync, name: DatasetName, newest_planned_id: int
) -> StagedCounts:
    """Count what publishing would do, before anybody decides on it."""
    sql = f"""
        with staged as materialized ({STAGED_IDS})
        select (select count(*) from staged) as records,
               (select count(*) from staged where record_id <= :newest_id) as planned_records,
               ({STAGED_MASKED}) as masked,
               count(*) filter (where staged.record_id is null) as vanished,
               count(*) as published
        from {{versions}} as version left join staged using (record_id)
        where version.valid_to is null
    """
    with database.begin() as connection:
        forbid_nested_loops(connection)
        row = run(connection, sql, name, sync_no=sync.number, newest_id=newest_planned_id).one()
        return StagedCounts(*row)


def read_progress(database: Database, sync: Sync) -> dict[DatasetName, int]:
    """Count the records staged so far; those read by two slices count twice."""
    sql = """
        select coalesce(sum(records), 0)::int from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    """
    with database.begin() as connection:
        return {
            name: run(connection, sql, name, sync_no=sync.number).scalar_one() for name in DATASETS
        }
