"""Read the published snapshot, and compare with it what a sync has staged."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection

from acsync.datasets import DatasetName, ListingName, Record
from acsync.models import Sync
from acsync.store.database import Database, run


def published_ids(database: Database, name: DatasetName) -> list[int]:
    """Return the ids of the published snapshot, in order."""
    sql = "select record_id from {versions} where valid_to is null order by record_id"
    with database.begin() as connection:
        return list(run(connection, sql, name).scalars())


def published_state(
    database: Database, name: DatasetName, ids: Sequence[int], masked_ids: Sequence[int]
) -> tuple[dict[int, bytes], dict[int, Record]]:
    """Return the hashes of the published records, and the bodies of those in `masked_ids`."""
    sql = """
        select record_id, hash,
            case when record_id = any(cast(:masked_ids as bigint[])) then record::text end as body
        from {versions}
        where valid_to is null and record_id = any(cast(:ids as bigint[]))
    """
    with database.begin() as connection:
        rows = run(connection, sql, name, ids=list(ids), masked_ids=list(masked_ids)).all()
    hashes = {row.record_id: bytes(row.hash) for row in rows}
    return hashes, {row.record_id: _parse(row.body) for row in rows if row.body is not None}


def published_records(
    database: Database, name: DatasetName, ids: Sequence[int]
) -> dict[int, Record]:
    """Return those of the records that are published, numbers with all their digits."""
    sql = """
        select record_id, record::text as body from {versions}
        where valid_to is null and record_id = any(cast(:ids as bigint[]))
    """
    with database.begin() as connection:
        rows = run(connection, sql, name, ids=list(ids))
        return {row.record_id: _parse(row.body) for row in rows}


def _parse(body: str) -> Record:
    """Parse a record; all numbers become decimals, since Python limits ints to 4,300 digits."""
    record: Record = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    return record


LAST_KNOWN: dict[ListingName, tuple[DatasetName, str]] = {
    "users": (
        "deals",
        """
        select distinct on (owner_id) record -> 'ownerData' as row from {versions}
        where valid_to is null and jsonb_typeof(record -> 'ownerData') = 'object'
        order by owner_id, valid_from desc
        """,
    ),
    "lists": (
        "contacts",
        """
        select distinct on (list ->> 'id') jsonb_build_object(
            'id', list ->> 'id', 'name', list ->> 'name') as row
        from {versions}, jsonb_array_elements(lists) as list
        where valid_to is null and jsonb_typeof(lists) = 'array'
        order by list ->> 'id', valid_from desc
        """,
    ),
}


def published_rows(database: Database, listing: ListingName) -> list[Record]:
    """Return the rows of an optional listing as published records show them."""
    name, sql = LAST_KNOWN[listing]
    with database.begin() as connection:
        return list(run(connection, sql, name).scalars())


def last_relations(database: Database, sync: Sync, ids: Sequence[int]) -> dict[int, Record]:
    """Return the last known tags and lists of contacts, by id; None if they were never sent.

    Those that this sync has staged are newer than published ones.
    """
    sql = """
        select distinct on (record_id) record_id, tags, lists
        from (
            select record_id, record -> 'tags' as tags, lists, 1 as place from {bodies}
            where sync_no = :sync_no and record_id = any(cast(:ids as bigint[]))
                and slice_no = any(array(
                    select slice_no from {schema}.ac_staged_slices
                    where sync_no = :sync_no and data_type = :data_type
                        and covered_through >= :first and covered_from <= :last))
            union all
            select record_id, record -> 'tags', lists, 2 from {versions}
            where valid_to is null and record_id = any(cast(:ids as bigint[]))
        ) as known
        order by record_id, place
    """
    span = {"first": min(ids, default=0), "last": max(ids, default=0)}
    with database.begin() as connection:
        rows = run(connection, sql, "contacts", sync_no=sync.number, ids=list(ids), **span)
        return {row.record_id: {"tags": row.tags, "lists": row.lists} for row in rows}


def read_sample(database: Database, sizes: Mapping[DatasetName, int]) -> Iterator[tuple[str, str]]:
    """Yield the richest of each dataset's first records, as a title and indented JSON.

    `sizes` are the records of each dataset; a record's links are left out, being half of it.
    """
    sql = """
        select record_count, jsonb_pretty(record - 'links')
        from (select * from {versions} where valid_to is null order by record_id limit 1000)
            as version,
            (select record_count from {schema}.ac_published
             where data_type = :data_type order by sync_no desc limit 1) as published
        order by length(custom_fields::text) desc, record_id
        limit :size
    """
    with database.begin() as connection:
        for name, size in sizes.items():
            for count, record in run(connection, sql, name, size=size):
                yield f"one of {count:,} {name}, without its links", record


# Each id that was read, with the slice that read it last. A slice can be staged after a newer one.
STAGED_IDS = """
    select distinct on (record_id) record_id, slice_no
    from (
        select slice_no, staged_at, unnest(record_ids) as record_id,
               unnest(read_before_ms) as before_ms
        from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    ) as read
    order by record_id, staged_at - before_ms * interval '1 millisecond' desc, slice_no desc
"""

COUNT_MASKED = """
    select count(*)
    from (
        select distinct slice_no, unnest(masked_ids) as record_id
        from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    ) as masked join staged using (slice_no, record_id)
"""

COUNT_STAGED = f"""
    select count(*) as records,
           count(*) filter (where record_id <= :planned_id) as planned_records,
           count(*) filter (where record_id > greatest(:newest_id, :planned_id)) as newer_records
    from ({STAGED_IDS}) as staged
"""


@dataclass(frozen=True)
class StagedCounts:
    """How many records are staged; one that was read by two slices counts once.

    `planned_records` are no newer than the plan, and `newer_records` are newer than it and than
    the newest page at the end.
    """

    records: int
    planned_records: int
    newer_records: int


def count_staged(
    database: Database, sync: Sync, name: DatasetName, *, newest_id: int, planned_id: int
) -> StagedCounts:
    """Return the counts of what is staged.

    The ids are the newest ones: at the end of the walk, and when it was planned.
    """
    values = {"sync_no": sync.number, "newest_id": newest_id, "planned_id": planned_id}
    with database.begin() as connection:
        return StagedCounts(*run(connection, COUNT_STAGED, name, **values).one())


def forbid_nested_loops(connection: Connection) -> None:
    """Keep the planner, until the transaction ends, from a plan that takes hours.

    Staging has no statistics yet: Postgres would expect a few rows and compare 80,000 with 80,000.
    """
    run(connection, "set local enable_nestloop = off")
