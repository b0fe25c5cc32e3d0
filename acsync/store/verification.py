"""Read published records with what proves them, and keep the last result of a verification."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypeAlias

from sqlalchemy import Connection

from acsync.datasets import DatasetName, Record, parse_record
from acsync.store.database import Database, run

# A row that a sync published is as old as the row of that sync in ac_published: both come from
# one subtransaction.
READ_COPIES = """
    select record_id, record::text as body, hash, {relations} as relations,
           age(xmin) < (
               select age(xmin) from {schema}.ac_published
               where data_type = :data_type order by sync_no desc limit 1
           ) as is_foreign
    from {versions}
    where valid_to is null and record_id = any(cast(:ids as bigint[]))
"""

READ_PUBLICATION = """
    select synced_at, clock_timestamp() as now, (
        select read_from from {schema}.ac_published as published
        where data_type = :data_type and kind = 'full'
        order by sync_no desc limit 1
    ) as read_from
    from {schema}.ac_published where data_type = :data_type order by sync_no desc limit 1
"""

READ_FIELDS = """
    select field_id, key, title, type from {schema}.ac_field_columns
    where data_type = :data_type and last_sync is null
"""


@dataclass(frozen=True)
class PublishedRecord:
    """A record as published; `is_foreign` if something other than a sync wrote it last.

    `relations` are the tags and memberships of a contact as the long views show them.
    """

    record: Record
    hash: bytes
    is_foreign: bool
    relations: Record | None = None


@dataclass(frozen=True)
class Publication:
    """The times of what is published, by Postgres' clock.

    Nothing was read after `synced_at`. The last full sync read nothing before `read_from`.
    """

    synced_at: datetime
    now: datetime
    read_from: datetime


@dataclass(frozen=True)
class Counts:
    """How the records compared that were read singly."""

    sampled: int
    equal: int
    changed: int
    deleted: int
    masked: int
    undecided: int
    different: int


@dataclass(frozen=True)
class Verification:
    """The counts of the last verification of a dataset."""

    verified_at: datetime
    counts: Counts


Verifications: TypeAlias = Mapping[DatasetName, Verification]


def read_copies(
    database: Database, name: DatasetName, ids: Sequence[int]
) -> dict[int, PublishedRecord]:
    """Return the published records among these ids, with their hashes."""
    rows = database.fetch(READ_COPIES, name, ids=list(ids))
    return {
        row.record_id: PublishedRecord(
            parse_record(row.body),
            bytes(row.hash),
            bool(row.is_foreign),
            None if row.relations is None else parse_record(row.relations),
        )
        for row in rows
    }


def read_publication(database: Database, name: DatasetName) -> Publication | None:
    """Return when the dataset was read and published, or None if it never was."""
    rows = database.fetch(READ_PUBLICATION, name)
    return Publication(*rows[0]) if rows and rows[0].read_from else None


def read_known_fields(database: Database, name: DatasetName) -> dict[str, tuple[str | None, ...]]:
    """Return key, title and type of each custom field, by id, as the last sync found them."""
    rows = database.fetch(READ_FIELDS, name)
    return {row.field_id: (row.key, row.title, row.type) for row in rows}


def record_verification(database: Database, name: DatasetName, counts: Counts) -> None:
    """Keep the counts of a verification in place of the last ones."""
    sql = """
        insert into {schema}.ac_verifications as last
            (data_type, verified_at, sampled, equal, changed, deleted, masked, undecided, different)
        values (:data_type, clock_timestamp(), :sampled, :equal, :changed, :deleted, :masked,
                :undecided, :different)
        on conflict (data_type) do update set
            (verified_at, sampled, equal, changed, deleted, masked, undecided, different) = (
                excluded.verified_at, excluded.sampled, excluded.equal, excluded.changed,
                excluded.deleted, excluded.masked, excluded.undecided, excluded.different)
    """
    with database.begin() as connection:
        run(connection, sql, name, **asdict(counts))


def read_verifications(connection: Connection) -> Verifications:
    """Return the last verification of each dataset."""
    sql = """
        select data_type, verified_at, sampled, equal, changed, deleted, masked, undecided,
               different
        from {schema}.ac_verifications order by data_type
    """
    return {
        name: Verification(verified_at, Counts(*counts))
        for name, verified_at, *counts in run(connection, sql)
    }
