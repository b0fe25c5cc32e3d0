"""After a restore or a rename, a schema keeps working for its account."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

import migrations
from acsync.results import SyncResult
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database
from tests.support.postgres import Postgres, execute
from tests.support.syncs import fetch, run_sync

Copy = Callable[[str, Account, Database], SyncResult]


@pytest.fixture
def copy() -> Iterator[Copy]:
    """Return a sync of an account into a schema; each account keeps its address."""
    with ExitStack() as stack:
        urls: dict[Account, str] = {}

        def run(url: str, account: Account, database: Database) -> SyncResult:
            if account not in urls:
                urls[account] = stack.enter_context(serve(account))
            settings = read_settings(
                AC_API_URL=urls[account], AC_API_KEY=account.options.api_key, POSTGRES_URL=url,
                ACSYNC_SCHEMA=database.schema, AC_RATE_LIMIT=100,
            )  # fmt: skip
            return run_sync(settings)

        yield run


def columns_of(database: Database) -> set[Any]:
    sql = (
        "select attname from pg_attribute where attnum > 0 "
        f"and attrelid = '{database.schema}.ac_contacts_wide'::regclass"
    )
    return {column for (column,) in fetch(database, sql)}


def add_field(account: Account, key: str) -> None:
    fields = account.metadata.listings["contact_fields"]
    fields.append({**fields[0], "id": "901", "perstag": key})


def test_two_accounts_keep_their_own_views_after_a_rename(copy: Copy, postgres: Postgres) -> None:
    """The schema `a` becomes `b`, and another account moves into a new `a`."""
    moved, newcomer = (
        Account(AccountOptions(contacts=contacts, deals=10, seed=contacts, rate_limit=None))
        for contacts in (30, 20)
    )
    url = postgres.create("template1")
    with (
        closing(postgres.open(url, "a")) as in_a,
        closing(postgres.open(url, "b")) as in_b,
    ):
        migrations.upgrade(in_a)
        first = copy(url, moved, in_a).sync_id
        execute(in_a, "alter schema a rename to b")
        migrations.upgrade(in_a)
        assert copy(url, newcomer, in_a).success
        add_field(moved, "MOVED")
        add_field(newcomer, "NEWCOMER")

        results = [copy(url, moved, in_b), copy(url, newcomer, in_a)]

        assert [result.success for result in results] == [True, True]
        assert [dataset.warnings for result in results for dataset in result.datasets.values()] == [
            ()
        ] * 4
        assert {"moved"} == {"moved", "newcomer"} & columns_of(in_b)
        assert {"newcomer"} == {"moved", "newcomer"} & columns_of(in_a)
        as_of = "select count(*) from b.ac_records_as_of(:sync_id) where data_type = 'contacts'"
        assert fetch(in_b, as_of, sync_id=first) == [(30,)]
