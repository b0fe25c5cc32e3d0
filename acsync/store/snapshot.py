"""Read the published snapshot: ids, hashes and records."""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from acsync.models import DatasetName, Record
from acsync.store.database import Database
from acsync.store.sql import run


def published_ids(database: Database, name: DatasetName) -> list[int]:
    """Return the ids of the published snapshot, in order."""
    sql = "select record_id from {versions} where valid_to is null order by record_id"
    with database.begin() as connection:
        return list(run(connection, sql, name).scalars())


def published_hashes(database: Database, name: DatasetName, ids: Sequence[int]) -> dict[int, bytes]:
    """Return the hashes of those of the ids that are published."""
    sql = """
        select record_id, hash from {versions}
        where valid_to is null and record_id = any(cast(:ids as bigint[]))
    """
    with database.begin() as connection:
        return {row.record_id: bytes(row.hash) for row in run(connection, sql, name, ids=list(ids))}


def published_records(
    database: Database, name: DatasetName, ids: Sequence[int]
) -> dict[int, Record]:
    """Return those of the records that are published, numbers with all their digits."""
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
