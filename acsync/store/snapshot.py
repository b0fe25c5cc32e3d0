"""Read the published snapshot and count what a sync has staged."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from acsync.datasets import DatasetName, Record, parse_record
from acsync.results import Sync
from acsync.store.database import READABLE, Database
from acsync.store.staging import RECENT, STAGED_IDS


def published_ids(database: Database, name: DatasetName) -> list[int]:
    """Return the published ids, sorted."""
    sql = "select record_id from {versions} where valid_to is null order by record_id"
    return [record_id for (record_id,) in database.fetch(sql, name)]


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
    rows = database.fetch(sql, name, ids=list(ids), masked_ids=list(masked_ids))
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
    rows = database.fetch(sql, name, ids=list(ids), without=list(without))
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
    rows = database.fetch(sql, name, ids=list(ids), recent=RECENT)
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
    rows = database.fetch(sql, "contacts", sync_no=sync.number, ids=list(ids), **span)
    return {row.record_id: dict(row._mapping) for row in rows}


COUNT_STAGED = f"""
    select count(*), count(*) filter (where record_id <= :planned_id),
           count(*) filter (where record_id > greatest(:newest_id, :planned_id))
    from ({STAGED_IDS}) as staged
"""


def count_staged(
    database: Database, sync: Sync, name: DatasetName, *, newest_id: int, planned_id: int
) -> tuple[int, int, int]:
    """Count the staged records, those that existed when the walk was planned, and newer ones.

    The ids are the newest ones at the end of the walk and when it was planned; newer ones are
    above both. A record in two slices counts once.
    """
    values = {"sync_no": sync.number, "newest_id": newest_id, "planned_id": planned_id}
    ((records, planned, newer),) = database.fetch(COUNT_STAGED, name, **values)
    return records, planned, newer
