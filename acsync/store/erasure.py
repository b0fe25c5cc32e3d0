"""Erase people: delete their contacts, and rewrite the deals that name them."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName, parse_record
from acsync.readings import EnrichedRecord
from acsync.store.database import run
from acsync.store.staging import drop_all
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
    select record_id, valid_from, hash, record::text as body from {schema}.ac_deal_versions
    where contact_id = any(cast(:ids as bigint[])) order by record_id, valid_from
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


def read_deals(connection: Connection, ids: Sequence[int]) -> list[Version]:
    """Return each kept version of a deal that names one of these contacts."""
    return [
        Version(row.record_id, row.valid_from, bytes(row.hash), parse_record(row.body), {})
        for row in run(connection, READ_DEALS, ids=list(ids))
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


def drop_kept_plan(connection: Connection, name: DatasetName) -> None:
    """Keep later syncs from resuming what a sync that did not finish has staged of a dataset."""
    run(connection, "delete from {schema}.ac_staged_plans where data_type = :data_type", name)


def drop_kept_staging(connection: Connection) -> None:
    """Delete what syncs have staged; no sync is running, and the next one reads all of it again."""
    for name in DATASETS:
        drop_all(connection, name)
