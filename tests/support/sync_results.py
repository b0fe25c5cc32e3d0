"""Look at the results of a sync in Postgres."""

from typing import Any

from sqlalchemy import text

from acsync.datasets import DATASETS, DatasetName
from acsync.simulator.account import Account
from acsync.simulator.expected import Comparison, compare
from acsync.store.database import Database
from acsync.store.snapshot import read_published

SNAPSHOT = """
    select 'contacts' as data_type, record_id, hash from ac_contact_versions where valid_to is null
    union all
    select 'deals', record_id, hash from ac_deal_versions where valid_to is null
    order by 1, 2
"""
LEFT_OVERS = """
    select (select count(*) from ac_sync_logs where overall_success is null),
           (select count(*) from ac_staged_slices), (select count(*) from ac_staged_contacts),
           (select count(*) from ac_staged_plans)
"""


def compare_copy(database: Database, account: Account) -> dict[DatasetName, Comparison]:
    """Compare every published record with the one that the simulator expects."""
    return {name: compare(account, name, read_published(database, name)) for name in DATASETS}


def assert_exact(database: Database, account: Account) -> None:
    """Assert that the copy equals the account, key by key."""
    comparisons = compare_copy(database, account)

    assert all(comparison.exact for comparison in comparisons.values()), comparisons


def last_log(database: Database) -> dict[str, Any]:
    """Return the log row of the last sync."""
    sql = "select * from ac_sync_logs order by id desc limit 1"
    with database.engine.begin() as connection:
        return dict(connection.execute(text(sql)).mappings().one())


def changes_of(database: Database) -> dict[str, tuple[int, int, int]]:
    """Return what the last sync added, updated and deleted, from its log row."""
    row = last_log(database)
    return {
        name: tuple(row[f"{name}_{change}"] for change in ("added", "updated", "deleted"))
        for name in DATASETS
    }
