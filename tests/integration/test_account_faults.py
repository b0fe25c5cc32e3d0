"""A sync survives the faults that an account shows in a year, or names them."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from acsync.datasets import DATASETS, LISTINGS, DatasetName, ListingName
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from acsync.store.snapshot import published_ids, published_records
from tests.support import faults
from tests.support.calls import Churn, nth_call, on_call, on_path
from tests.support.fixtures import CopyAccount, Sync
from tests.support.syncs import assert_exact

BOTH = pytest.mark.parametrize("name", list(DATASETS))


def error_of(database: Database, name: DatasetName) -> str:
    """Return the logged error of a dataset in the last sync."""
    sql = f"select {name}_error from ac_sync_logs order by id desc limit 1"
    with database.begin() as connection:
        return str(connection.execute(text(sql)).scalar_one())


# Change while reading


@pytest.mark.parametrize("options", [AccountOptions(contacts=3000, deals=3000, rate_limit=None)])
@BOTH
def test_people_at_work_and_clumps_of_hundreds_lose_nobody(
    name: DatasetName,
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hundreds are imported or deleted at the start, in the middle and at the end of the walk."""
    monkeypatch.setenv("LIMIT_PER_PAGE", "100")
    walk = on_path(name)
    places = iter([slice(0, 300), slice(900, 1200), slice(-300, -1)])

    def change_hundreds() -> None:
        account.delete(name, account.ids(name)[next(places)])
        account.add(name, 150)

    for nth in (1, 15, 31):
        on_call(account, nth_call(walk, nth), change_hundreds)
    with Churn(account, per_second=20, seed=5) as churn:
        assert copy_account(name).success

    published = published_ids(database, name)
    assert next(places, None) is None
    assert len(published) == len(set(published))
    assert churn.existed_throughout(name) <= set(published) <= account.ever(name)
    assert account.statistics.by_path[name] <= 3000 / 100 * 1.1 + 3 * 18


# A bad network


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_a_sync_through_a_bad_network_is_exact(
    share: float, sync: Sync, account: Account, database: Database
) -> None:
    """A whole sync with real waits and pauses, shared by all threads."""
    refusals = faults.too_many(None), faults.too_many_until(1)
    account.faults.add(faults.bad_network(7, faults.stall(1), *refusals).only(share=share))

    assert sync().is_completed()

    assert account.faults.hits["bad-network"] >= 2
    assert_exact(database, account)


# A key that lost a permission


def forget_definitions(account: Account) -> None:
    """Hide all field definitions, though records still have values of these fields."""
    account.metadata.listings["contact_fields"].clear()
    account.metadata.listings["deal_fields"].clear()


@pytest.mark.parametrize("options", [AccountOptions(contacts=120, deals=120, rate_limit=None)])
@pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (
            lambda account: account.faults.add(faults.empty_dataset().only(on_path(*DATASETS))),
            "are gone from the account",
        ),
        (lambda account: account.faults.add(faults.fields_vanish()), "have none left"),
        (forget_definitions, "have none left"),
    ],
    ids=["suddenly empty", "values vanished", "definitions vanished"],
)
def test_a_lost_permission_is_published_only_when_accepted(
    lose: Callable[[Account], object],
    reason: str,
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """These answers are well formed, and would empty columns for everybody."""
    assert copy_account().success
    before = {name: contents_of(database, name) for name in DATASETS}
    lose(account)

    assert not copy_account().success
    for name in DATASETS:
        assert reason in error_of(database, name)
        assert f"--only {name} --accept-shrink" in error_of(database, name)
        assert contents_of(database, name) == before[name]

    assert copy_account(accept_shrink=True).success
    assert contents_of(database, "contacts") != before["contacts"]


@pytest.mark.parametrize(
    "options", [AccountOptions(contacts=0, deals=5, rate_limit=None, masked_share=0)]
)
@pytest.mark.parametrize("listing", ["pipelines", "stages"])
def test_an_empty_listing_is_not_believed(
    listing: ListingName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A key that lost a permission sees none, and the names stay as they were last known."""
    assert copy_account("deals").success
    before = contents_of(database, "deals")
    account.metadata.listings[listing].clear()

    for _ in range(2):
        result = copy_account("deals")
        assert result.success
        (warning,) = result.datasets["deals"].warnings
        assert f"known {listing} are kept: /{LISTINGS[listing].path}: it is empty." in warning
    assert contents_of(database, "deals") == before


@pytest.mark.parametrize("options", [AccountOptions(contacts=0, deals=90, rate_limit=None)])
def test_deals_that_lose_their_names_are_published_only_when_accepted(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """They are in pipelines and stages now that the key may not see."""
    assert copy_account("deals").success
    account.faults.add(faults.move_deals("777", "778").only(on_path("deals")))

    assert not copy_account("deals").success
    assert "with a pipeline or stage have lost its name" in error_of(database, "deals")

    assert copy_account("deals", accept_shrink=True).success


@pytest.mark.parametrize("options", [AccountOptions(contacts=0, deals=120, rate_limit=None)])
def test_deals_that_are_all_masked_keep_their_bodies_when_accepted(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """No row would be lost, but no body could be trusted."""
    assert copy_account("deals").success
    account.mask(account.ids("deals"))

    assert not copy_account("deals").success
    assert "that could be seen are masked now" in error_of(database, "deals")

    assert copy_account("deals", accept_shrink=True).success
    assert copy_account("deals").success
    kept = contents_of(database, "deals")
    assert sum(record["value"] is not None for record in kept.values() if "value" in record) > 110


def contents_of(database: Database, name: DatasetName) -> dict[int, Any]:
    return published_records(database, name, published_ids(database, name))
