"""Look at the results of a sync in Postgres."""

from typing import Any

from sqlalchemy import text

from acsync.datasets import DATASETS
from acsync.local.demo import compare
from acsync.simulator.account import Account
from acsync.store.database import Database

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


def assert_exact(database: Database, account: Account) -> None:
    """Compare every record with the simulated account."""
    comparisons = compare(database, account)

    assert {name: one.exact for name, one in comparisons.items()} == {
        "contacts": True,
        "deals": True,
    }, comparisons


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
