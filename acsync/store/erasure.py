"""Erase people: delete their contacts, and rewrite the deals that name them."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection

from acsync.datasets import parse_record
from acsync.readings import EnrichedRecord
from acsync.results import Sync
from acsync.store.database import run
from acsync.store.stored_rows import rewrite_rows
from acsync.store.version_rewrite import Version, rewrite_versions, touch_publication

# The rows about a contact by table, and those of its deals. The others are views.
CONTACT_ROWS = {
    "ac_contact_versions": "record_id = any(cast(:ids as bigint[]))",
    "ac_contact_columns": "contact_id = any(cast(:ids as bigint[]))",
    "ac_stored_tags": "contact_id = any(cast(:ids as bigint[]))",
    "ac_stored_lists": "contact_id = any(cast(:ids as bigint[]))",
    "ac_stored_changes": "data_type = 'contacts' and record_id = any(cast(:ids as bigint[]))",
    "ac_deleted": "data_type = 'contacts' and record_id = any(cast(:ids as bigint[]))",
    "ac_staged_contacts": "record_id = any(cast(:ids as bigint[]))",
    "ac_staged_deals": "contact_id = any(cast(:ids as bigint[]))",
}

# A stub has a title, but no contact unless the deal was visible before.
NAMING = """
    contact_id = any(cast(:ids as bigint[])) or (
        is_masked and contact_id is null and record_id in (
            select record_id from {schema}.ac_deal_versions
            where contact_id = any(cast(:ids as bigint[]))
        )
    )
"""
DEAL_ROWS = {
    "ac_deal_versions": NAMING,
    "ac_deal_columns": "contact_id = any(cast(:ids as bigint[]))",
    "ac_stored_changes": """
        data_type = 'deals' and record_id in (
            select record_id from {schema}.ac_deal_versions
            where contact_id = any(cast(:ids as bigint[]))
        )
    """,
}

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

READ_DEALS = f"""
    select record_id, valid_from, hash, record::text as body from {{schema}}.ac_deal_versions
    where {NAMING}
        or (is_masked and contact_id is null and record_id = any(cast(:stubs_of as bigint[])))
    order by record_id, valid_from
"""

# By the index of ids, because an incremental sync writes few deals. A redacted deal has no contact.
READ_UNREDACTED = """
    with versions as materialized (
        select record_id, contact_id, is_masked,
            contact_id is null and record ->> :mark is not null as is_redacted
        from {schema}.ac_deal_versions where record_id = any(array(
            select record_id from {schema}.ac_deal_versions where valid_from = :sync_no
        ))
    )
    select distinct record_id, contact_id from versions
    where not is_redacted and (contact_id is not null or is_masked)
        and record_id in (select record_id from versions where is_redacted)
"""


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


def has_rows(connection: Connection, ids: Collection[int]) -> bool:
    """Return whether the copy has a version of a contact, or a current deal that names it."""
    sql = """
        select exists (
            select from {schema}.ac_contact_versions where record_id = any(cast(:ids as bigint[]))
        ) or exists (
            select from {schema}.ac_deal_versions
            where valid_to is null and contact_id = any(cast(:ids as bigint[]))
        )
    """
    return bool(run(connection, sql, ids=list(ids)).scalar_one())


def read_vanished_contacts(connection: Connection, sync: Sync) -> list[int]:
    """Return the contacts that this sync no longer found in the account."""
    sql = """
        select record_id from {schema}.ac_contact_versions
        where valid_to = :sync_no and is_deleted
    """
    return list(run(connection, sql, sync_no=sync.number).scalars())


def read_unredacted(connection: Connection, sync: Sync, mark: str) -> list[tuple[int, int | None]]:
    """Return each deal that this sync wrote and its contacts, from versions without this mark.

    These are deals that have a redacted version too. A stub has None as its contact.
    """
    rows = run(connection, READ_UNREDACTED, sync_no=sync.number, mark=mark)
    return [(row.record_id, row.contact_id) for row in rows]


def delete_contacts(connection: Connection, ids: Sequence[int]) -> None:
    """Delete all rows of these contacts, and count them out of the kept snapshots."""
    run(connection, COUNT_FEWER, ids=list(ids))
    for table, rows in CONTACT_ROWS.items():
        run(connection, f"delete from {{schema}}.{table} where {rows}", ids=list(ids))


def read_deals(
    connection: Connection, ids: Sequence[int], stubs_of: Sequence[int] = ()
) -> list[Version]:
    """Return each kept version of a deal that names one of these contacts.

    Also the versions of their deals, and of `stubs_of`, that are stubs without a contact.
    """
    return [
        Version(row.record_id, row.valid_from, bytes(row.hash), parse_record(row.body), {})
        for row in run(connection, READ_DEALS, ids=list(ids), stubs_of=list(stubs_of))
    ]


def rewrite_deals(
    connection: Connection, rewritten: Sequence[tuple[Version, EnrichedRecord]]
) -> None:
    """Replace the records of these versions, and the rows that are stored from them."""
    if not rewritten:
        return
    rewrite_versions(connection, "deals", rewritten)
    rewrite_rows(connection, "deals", sorted({version.record_id for version, _ in rewritten}))
    touch_publication(connection, "deals")
