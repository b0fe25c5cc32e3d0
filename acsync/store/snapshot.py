"""Read the published snapshot and count what a sync has staged."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from acsync.datasets import DatasetName, Record, parse_record
from acsync.results import Sync
from acsync.store.database import READABLE, Database, run
from acsync.store.staging import RECENT, STAGED_IDS


def published_ids(database: Database, name: DatasetName) -> list[int]:
    """Return the published ids, sorted."""
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
    return hashes, {row.record_id: parse_record(row.body) for row in rows if row.body is not None}


def published_records(
    database: Database, name: DatasetName, ids: Sequence[int]
) -> dict[int, Record]:
    """Return the published records among these ids."""
    contents = published_contents(database, name, ids)
    return {record_id: record for record_id, (record, _) in contents.items()}


def published_contents(
    database: Database, name: DatasetName, ids: Sequence[int], without: Collection[str] = ()
) -> dict[int, tuple[Record, Record]]:
    """Return the published records among these ids, without some of their keys, and relations."""
    sql = """
        select record_id, (record - cast(:without as text[]))::text, coalesce({relations}, '{}')
        from {versions}
        where valid_to is null and record_id = any(cast(:ids as bigint[]))
    """
    with database.begin() as connection:
        rows = run(connection, sql, name, ids=list(ids), without=list(without))
        return {
            record_id: (parse_record(body), parse_record(relations))
            for record_id, body, relations in rows
        }


def recent_dates(
    database: Database, name: DatasetName, ids: Sequence[int]
) -> dict[int, tuple[datetime, float]]:
    """Return when published records were last changed, and how many seconds ago they were read.

    Only of those that were read recently.
    """
    sql = f"""
        select record_id, updated_at, extract(epoch from clock_timestamp() - read_at)::float8 as age
        from {{versions}}
        where valid_to is null and record_id = any(cast(:ids as bigint[]))
          and updated_at {READABLE} and read_at > now() - :recent
    """
    with database.begin() as connection:
        rows = run(connection, sql, name, ids=list(ids), recent=RECENT)
        return {row.record_id: (row.updated_at, row.age) for row in rows}


def read_published(database: Database, name: DatasetName) -> Iterator[tuple[int, Record]]:
    """Yield the id and the record of everything that is published, 1,000 at a time."""
    ids = published_ids(database, name)
    for start in range(0, len(ids), 1_000):
        batch = ids[start : start + 1_000]
        records = published_records(database, name, batch)
        yield from ((record_id, records[record_id]) for record_id in batch)


def last_relations(database: Database, sync: Sync, ids: Sequence[int]) -> dict[int, Record]:
    """Return the last known tags, lists and relations of contacts by id; None if never received.

    This sync's staged records are newer than published ones.
    """
    sql = """
        select distinct on (record_id) record_id, tags, lists, relations
        from (
            select record_id, record -> 'tags' as tags, lists, relations, 1 as place from {bodies}
            where sync_no = :sync_no and record_id = any(cast(:ids as bigint[]))
                and slice_no = any(array(
                    select slice_no from {schema}.ac_staged_slices
                    where sync_no = :sync_no and data_type = :data_type
                        and covered_through >= :first and covered_from <= :last))
            union all
            select record_id, record -> 'tags', lists, relations, 2 from {versions}
            where valid_to is null and record_id = any(cast(:ids as bigint[]))
        ) as known
        order by record_id, place
    """
    span = {"first": min(ids, default=0), "last": max(ids, default=0)}
    with database.begin() as connection:
        rows = run(connection, sql, "contacts", sync_no=sync.number, ids=list(ids), **span)
        return {row.record_id: dict(row._mapping) for row in rows}


COUNT_STAGED = f"""
    select count(*) as records,
           count(*) filter (where record_id <= :planned_id) as planned_records,
           count(*) filter (where record_id > greatest(:newest_id, :planned_id)) as newer_records
    from ({STAGED_IDS}) as staged
"""


@dataclass(frozen=True)
class StagedCounts:
    """How many records are staged; a record in two slices counts once.

    `planned_records` existed when the walk was planned. `newer_records` are newer than the plan and
    than the newest page at the end.
    """

    records: int
    planned_records: int
    newer_records: int


def count_staged(
    database: Database, sync: Sync, name: DatasetName, *, newest_id: int, planned_id: int
) -> StagedCounts:
    """Count the staged records.

    The ids are the newest ones at the end of the walk and when it was planned.
    """
    values = {"sync_no": sync.number, "newest_id": newest_id, "planned_id": planned_id}
    with database.begin() as connection:
        return StagedCounts(*run(connection, COUNT_STAGED, name, **values).one())
