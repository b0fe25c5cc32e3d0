"""A record that the account counts but does not list is not taken as deleted."""

import pytest

from acsync.datasets import DATASETS, DatasetName
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault, When
from acsync.simulator.requests import Call
from acsync.store.database import Database
from tests.support import faults
from tests.support.calls import for_newest_page, on_path
from tests.support.fixtures import CopyAccount
from tests.support.syncs import assert_exact, fetch, last_log, run_incremental

BOTH = pytest.mark.parametrize("name", list(DATASETS))

PAGES = on_path(*DATASETS)

NO_ROWS = faults.rows_fault("no-rows", lambda rows: rows.clear()).only(PAGES)


def counts_of(database: Database, name: DatasetName) -> tuple[int | None, ...]:
    """Return how many records of a dataset the last sync added, updated and deleted."""
    log = last_log(database)
    return tuple(log[f"{name}_{change}"] for change in ("added", "updated", "deleted"))


def hide(account: Account, ids: list[int]) -> None:
    account.faults.add(faults.hide_records(ids).only(PAGES))


# An empty account


@BOTH
def test_no_rows_and_a_positive_total_are_never_believed(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Not in a first sync, not the third time, and not with --accept-shrink."""
    account.faults.add(NO_ROWS)

    results = [copy_account(name) for _ in range(4)]
    results.append(copy_account(name, accept_shrink=True))

    assert not any(result.success for result in results)
    count = len(account.ids(name))
    assert f"counts {count} {name}, but none were read" in last_log(database)[f"{name}_error"]


@BOTH
def test_a_copy_is_not_emptied_while_the_total_is_positive(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    assert copy_account().success
    account.faults.add(NO_ROWS)

    results = [copy_account(name, accept_shrink=True) for _ in range(4)]

    assert not any(result.success for result in results)
    assert_exact(database, account)


@pytest.mark.parametrize("options", [AccountOptions(contacts=0, deals=0, rate_limit=None)])
@pytest.mark.parametrize("fault", [None, faults.without_meta().only(PAGES)])
def test_an_empty_account_is_copied(
    fault: Fault | None, copy_account: CopyAccount, account: Account
) -> None:
    """Its total is 0 or missing."""
    if fault:
        account.faults.add(fault)

    assert copy_account().success


# Hidden records


@BOTH
def test_records_hidden_from_the_pages_are_asked_for_singly(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Eight of several hundred are within the tolerance of the total."""
    assert copy_account().success
    hidden = account.ids(name)[40:400:45]
    assert len(hidden) == 8
    hide(account, hidden)

    result = copy_account(name)

    assert result.success
    assert counts_of(database, name) == (0, 0, 0)
    (warning,) = result.datasets[name].warnings
    assert warning.startswith(f"8 {name} were missing from the pages")
    assert_exact(database, account)


def test_the_stay_of_a_hidden_deal_goes_on(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Otherwise its time in the stage would begin again."""
    copy_account("deals")
    stays = "select deal_id, entered_at, left_at from ac_deal_stages order by 1, 2"
    before = fetch(database, stays)
    hide(account, account.ids("deals")[50:58])
    copy_account("deals")
    account.faults.clear()
    copy_account("deals")

    assert fetch(database, stays) == before


@BOTH
def test_a_hidden_record_that_changed_is_updated(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    copy_account()
    hidden = account.ids(name)[100:103]
    account.change(name, hidden)
    hide(account, hidden)

    assert copy_account(name).success

    assert counts_of(database, name) == (0, 3, 0)
    assert_exact(database, account)


@BOTH
def test_records_that_no_call_finds_are_deleted(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Either the total is wrong, or a replica lags in every call."""
    copy_account()
    hidden = account.ids(name)[50:55]
    hide(account, hidden)
    singles = on_path(*(f"{name}/{record}" for record in hidden))
    account.faults.add(faults.status(404).only(singles))

    result = copy_account(name)

    assert result.success
    assert counts_of(database, name) == (0, 0, 5)
    assert account.faults.hits["status-404"] == 5
    assert "were read" in result.datasets[name].warnings[0]


@BOTH
def test_unreadable_records_block_until_the_total_lasts(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Nobody knows whether they exist. The third sync in a row publishes with a warning."""
    copy_account()
    hidden = account.ids(name)[50:53]
    hide(account, hidden)
    singles = on_path(*(f"{name}/{record}" for record in hidden))
    account.faults.add(faults.status(422).only(singles))

    for _ in range(2):
        assert not copy_account(name).success
        assert "status 422" in last_log(database)[f"{name}_error"]
        assert f"--only {name} --accept-shrink" in last_log(database)[f"{name}_error"]
    result = copy_account(name)

    assert result.success
    assert counts_of(database, name) == (0, 0, 3)
    assert "status 422" in " ".join(result.datasets[name].warnings)


@BOTH
def test_no_more_records_are_asked_for_than_the_tolerance(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Four hidden records cannot be told from twenty deleted ones without asking."""
    copy_account()
    account.delete(name, account.ids(name)[100:120])
    hidden = account.ids(name)[200:204]
    hide(account, hidden)

    result = copy_account(name)

    assert result.success
    singles = [path for path in account.statistics.by_path if path.startswith(f"{name}/")]
    assert len(singles) == 10
    assert counts_of(database, name) == (0, 0, 20)
    assert "14 more published" in " ".join(result.datasets[name].warnings)


def after_the_plan(name: DatasetName) -> When:
    """Accept the calls for pages after the first newest page."""
    first: list[int] = []

    def accept(call: Call) -> bool:
        if call.path == name and for_newest_page(call) and not first:
            first.append(call.number)
        return call.path == name and call.number > first[0]

    return accept


@BOTH
def test_records_above_a_lagging_newest_page_are_asked_for_singly(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The plan's newest page came from another server and misses eight records."""
    copy_account()
    lag = faults.lag_behind(account.ids(name)[-28:])
    account.faults.add(lag.only(after_the_plan(name)))

    result = copy_account(name)

    assert result.success
    assert counts_of(database, name) == (0, 0, 0)
    assert "are taken for deleted" in " ".join(result.datasets[name].warnings)
    assert_exact(database, account)


@BOTH
def test_a_lag_beyond_the_tolerance_is_refused(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """All records that were asked for exist, so the others are probably not deleted either."""
    copy_account()
    lag = faults.lag_behind(account.ids(name)[-40:])
    account.faults.add(lag.only(after_the_plan(name)))

    assert not copy_account(name).success

    assert "the pages lag" in last_log(database)[f"{name}_error"]
    account.faults.clear()
    assert copy_account(name).success
    assert_exact(database, account)


@BOTH
def test_a_lag_does_not_delete_what_incremental_syncs_published(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A replica that lags lacks the newest records in every call. The next full sync decides."""
    copy_account()
    new = account.add(name, 12)
    run_incremental(read_settings())
    account.faults.add(faults.lag_behind(new).only(on_path(name)))
    account.faults.add(faults.status(404).only(on_path(*(f"{name}/{record}" for record in new))))

    result = copy_account(name)

    assert counts_of(database, name) == (0, 0, 0)
    (warning,) = result.datasets[name].warnings
    assert warning.startswith(f"12 {name} that an incremental sync has just published")
    assert_exact(database, account)
    copy_account(name)
    assert counts_of(database, name) == (0, 0, 12)


@BOTH
def test_a_lag_does_not_delete_what_a_full_sync_published(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Published records above all that was read are requested singly."""
    copy_account()
    account.faults.add(faults.lag_behind(account.ids(name)[-8:]).only(on_path(name)))

    assert copy_account(name).success

    assert counts_of(database, name) == (0, 0, 0)
    assert_exact(database, account)


@BOTH
def test_the_newest_records_are_deleted_if_no_call_finds_them(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A sync asks for ten of them, and an error says only that they are gone."""
    copy_account()
    deleted = account.delete(name, account.ids(name)[-30:])
    refused = on_path(*(f"{name}/{record}" for record in deleted[-2:]))
    account.faults.add(faults.status(422).only(refused))

    assert copy_account(name).success

    assert counts_of(database, name) == (0, 0, 30)
    assert len([path for path in account.statistics.by_path if "/" in path]) == 10
    assert_exact(database, account)


@BOTH
def test_deletions_and_unchanged_syncs_ask_for_nothing_singly(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    copy_account()
    copy_account()
    account.delete(name, account.ids(name)[:300:10])

    assert copy_account(name).success

    assert counts_of(database, name) == (0, 0, 30)
    assert not [path for path in account.statistics.by_path if "/" in path]
