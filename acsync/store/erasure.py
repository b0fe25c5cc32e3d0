"""Erase people: delete their contacts, and rewrite the deals that name them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from acsync.datasets import DATASETS
from acsync.errors import StoreError
from acsync.readings import EnrichedRecord
from acsync.store.database import BODIES, Database, run, schema_of
from acsync.store.publish import COLUMNS
from acsync.store.staging import drop_all
from acsync.store.stored_rows import rewrite_rows

# The rows about a contact by table, and those of its deals. The others are views.
CONTACT_ROWS = {
    "ac_contact_versions": "record_id = any(cast(:ids as bigint[]))",
    "ac_contact_columns": "contact_id = any(cast(:ids as bigint[]))",
    "ac_stored_tags": "contact_id = any(cast(:ids as bigint[]))",
    "ac_stored_lists": "contact_id = any(cast(:ids as bigint[]))",
    "ac_stored_changes": "data_type = 'contacts' and record_id = any(cast(:ids as bigint[]))",
    "ac_deleted": "data_type = 'contacts' and record_id = any(cast(:ids as bigint[]))",
    "ac_staged_contacts": "record_id = any(cast(:ids as bigint[]))",
}
DEAL_ROWS = {
    "ac_deal_versions": "contact_id = any(cast(:ids as bigint[]))",
    "ac_deal_columns": "contact_id = any(cast(:ids as bigint[]))",
    "ac_stored_changes": """
        data_type = 'deals' and record_id in (
            select record_id from {schema}.ac_deal_versions
            where contact_id = any(cast(:ids as bigint[]))
        )
    """,
    "ac_staged_deals": "contact_id = any(cast(:ids as bigint[]))",
}
VACUUMED = tuple(CONTACT_ROWS | DEAL_ROWS)

# A hash index serves the current versions only, so this reads the others too.
FIND_BY_ADDRESS = """
    select distinct record_id from {schema}.ac_contact_versions
    where lower(btrim(email)) = lower(btrim(:address)) order by record_id
"""

FIND_SHARERS = """
    select record_id from {schema}.ac_contact_versions
    where valid_to is null and record_id <> all(cast(:ids as bigint[])) and lower(email) in (
        select lower(email) from {schema}.ac_contact_versions
        where valid_to is null and record_id = any(cast(:ids as bigint[])) and email <> ''
    )
    order by record_id
"""

# Before the versions are deleted, because they tell which snapshots had them.
COUNT_FEWER = """
    update {schema}.ac_published as published set record_count = record_count - (
        select count(*) from {schema}.ac_contact_versions
        where record_id = any(cast(:ids as bigint[])) and valid_from <= published.sync_no
          and (valid_to is null or valid_to > published.sync_no)
    )
    where data_type = 'contacts'
"""

READ_DEALS = """
    select record_id, valid_from, record::text as body from {schema}.ac_deal_versions
    where contact_id = any(cast(:ids as bigint[])) order by record_id, valid_from
"""

# The staging table computes the other columns of a record. No sync has a negative number.
STAGE_DEAL = """
    insert into {schema}.ac_staged_deals (sync_no, slice_no, record_id, hash, record)
    values (-:valid_from, 0, :record_id, :hash, cast(:body as jsonb))
"""
REWRITE_DEALS = """
    update {versions} as version set {assignments} from {bodies} as body
    where body.sync_no = -version.valid_from and body.record_id = version.record_id
"""

# Postgres keeps the old statistics of an empty table, as staging is between syncs. It also samples
# the rows of its own transaction.
REPLACE_STATISTICS = """
    insert into {bodies} (sync_no, slice_no, record_id, hash, record) values (0, 0, 0, '', '{}');
    analyze {bodies};
    delete from {bodies} where sync_no = 0
"""

# `acsync verify` takes a row that is newer than the last publication for edited by somebody.
TOUCH_PUBLICATION = """
    update {schema}.ac_published set record_count = record_count
    where data_type = 'deals' and sync_no = (
        select max(sync_no) from {schema}.ac_published where data_type = 'deals'
    )
"""


@dataclass(frozen=True)
class DealVersion:
    """One version of a deal that names a forgotten person."""

    record_id: int
    valid_from: int
    body: str


def find_by_address(connection: Connection, address: str) -> list[int]:
    """Return the contacts that have or had this address in a kept version."""
    return list(run(connection, FIND_BY_ADDRESS, address=address).scalars())


def find_sharers(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Return the other contacts with the address of one of these."""
    return list(run(connection, FIND_SHARERS, ids=list(ids)).scalars())


def count_rows(
    connection: Connection, tables: Mapping[str, str], ids: Sequence[int]
) -> dict[str, int]:
    """Return how many rows of each table the contacts have, without tables that have none."""
    counts = {
        table: run(
            connection, f"select count(*) from {{schema}}.{table} where {rows}", ids=list(ids)
        ).scalar_one()
        for table, rows in tables.items()
    }
    return {table: count for table, count in counts.items() if count}


def has_published(connection: Connection, ids: Sequence[int]) -> bool:
    """Return whether a contact is published, or a deal that names it."""
    sql = """
        select exists (
            select from {schema}.ac_contact_versions
            where valid_to is null and record_id = any(cast(:ids as bigint[]))
        ) or exists (
            select from {schema}.ac_deal_versions
            where valid_to is null and contact_id = any(cast(:ids as bigint[]))
        )
    """
    return bool(run(connection, sql, ids=list(ids)).scalar_one())


def delete_contacts(connection: Connection, ids: Sequence[int]) -> None:
    """Delete all rows of these contacts, and count them out of the kept snapshots."""
    run(connection, COUNT_FEWER, ids=list(ids))
    for table, rows in CONTACT_ROWS.items():
        run(connection, f"delete from {{schema}}.{table} where {rows}", ids=list(ids))


def read_deals(connection: Connection, ids: Sequence[int]) -> Iterator[DealVersion]:
    """Yield each kept version of a deal that names one of these contacts."""
    for row in run(connection, READ_DEALS, ids=list(ids)).all():
        yield DealVersion(*row)


def rewrite_deals(
    connection: Connection, rewritten: Sequence[tuple[DealVersion, EnrichedRecord]]
) -> None:
    """Replace the records of these versions, and the rows that are stored from them."""
    if not rewritten:
        return
    for version, record in rewritten:
        run(
            connection,
            STAGE_DEAL,
            record_id=version.record_id,
            valid_from=version.valid_from,
            hash=record.hash,
            body=record.body.decode(),
        )
    bodies = f"{schema_of(connection)}.{BODIES['deals']}"
    _, assignments = run(connection, COLUMNS, bodies=bodies).one()
    run(connection, REWRITE_DEALS.replace("{assignments}", assignments), "deals")
    run(connection, "delete from {bodies} where sync_no < 0", "deals")
    rewrite_rows(connection, "deals", sorted({version.record_id for version, _ in rewritten}))
    run(connection, TOUCH_PUBLICATION)


def drop_kept_staging(connection: Connection) -> None:
    """Delete what syncs have staged; no sync is running, and the next one reads all of it again."""
    for name in DATASETS:
        drop_all(connection, name)


@dataclass(frozen=True)
class Vacuumed:
    """The tables that were vacuumed, and those that Postgres refused to vacuum."""

    done: tuple[str, ...]
    refused: tuple[str, ...]


def vacuum(database: Database) -> Vacuumed:
    """Free the space of deleted rows, and take new statistics, which hold samples of values."""
    sql = """
        select relname, pg_has_role(relowner, 'USAGE') as is_mine from pg_class
        where relnamespace = to_regnamespace(:schema) and relname = any(:tables) order by relname
    """
    with database.begin() as connection:
        schema, names = schema_of(connection), list(VACUUMED)
        tables = run(connection, sql, schema=schema, tables=names).all()
    # Only the owner can vacuum.
    done = [name for name, is_mine in tables if is_mine and _is_vacuumed(database, name)]
    return Vacuumed(tuple(done), tuple(name for name, _ in tables if name not in done))


def _is_vacuumed(database: Database, table: str) -> bool:
    try:
        for name in (name for name in DATASETS if BODIES[name] == table):
            with database.begin() as connection:
                run(connection, REPLACE_STATISTICS, name)
        with database.alone() as connection:
            run(connection, f"vacuum (analyze) {{schema}}.{table}")
    except StoreError:
        return False
    return True
