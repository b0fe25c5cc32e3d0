"""A sync has a time limit, a schema has one account, and migrations wait for a running sync."""

import pytest

from acsync.errors import AnotherAccount
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from acsync.store.schema_owner import forget_account
from acsync.store.snapshot import published_ids
from tests.support.commands import acsync
from tests.support.fixtures import CopyAccount
from tests.support.postgres import upgrade_to
from tests.support.syncs import RUNNING, assert_exact, fetch, last_log

NOTED = "select host from ac_account"


@pytest.mark.parametrize("options", [AccountOptions(contacts=700, deals=400, rate_limit=None)])
def test_a_sync_at_its_limit_fails_and_the_next_resumes(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a sync that hangs would block all later ones."""
    monkeypatch.setenv("AC_RATE_LIMIT", "12")
    monkeypatch.setenv("ACSYNC_MAX_DURATION", "3s")

    results = [copy_account()]
    while not results[-1].success and len(results) < 12:
        results.append(copy_account())

    assert 3 <= len(results) <= 9
    assert "took longer than 0:00:03 (ACSYNC_MAX_DURATION)" in str(results[0].datasets["deals"])
    assert_exact(database, account)
    assert account.statistics.calls < 1_100 / 20 + 25 * len(results)


def test_another_account_is_refused_until_it_is_adopted(
    copy_account: CopyAccount, account: Account, database: Database, database_url: str
) -> None:
    """With ids in common, the sync would report 800 updates and succeed."""
    assert copy_account("contacts").success
    assert fetch(database, NOTED) == [("a simulated account",)]
    fetch(database, "update ac_account set host = 'acme.api-us1.com'")
    before = published_ids(database, "contacts")
    calls = account.statistics.calls

    with pytest.raises(
        AnotherAccount, match=r"holds the records of acme\.api-us1\.com; .* of a simulated account"
    ):
        copy_account("contacts")
    assert published_ids(database, "contacts") == before
    assert account.statistics.calls == calls

    adopted = acsync("migrate", "--adopt-account", POSTGRES_URL=database_url)
    assert "It belonged to acme.api-us1.com" in adopted.stdout
    assert copy_account("contacts").success
    assert fetch(database, NOTED) == [("a simulated account",)]
    assert forget_account(database) == "a simulated account"


def test_tables_do_not_change_during_a_sync(empty_database: Database) -> None:
    """A migration would wait for the sync's statements, and all later statements for both."""
    url = empty_database.engine.url.render_as_string(hide_password=False)
    upgrade_to(empty_database, "0008")
    fetch(empty_database, RUNNING)

    refused = acsync("migrate", POSTGRES_URL=url)
    assert refused.returncode == 3
    assert "has been running since" in refused.stderr
    fetch(empty_database, "update ac_lease set sync_no = null")
    assert acsync("migrate", POSTGRES_URL=url).returncode == 0
    assert last_log(empty_database)["sync_id"]
