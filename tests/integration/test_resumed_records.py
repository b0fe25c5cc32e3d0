"""Records resumed from an unfinished sync are young, counted and part of the age."""

import re
from collections.abc import Callable
from contextlib import suppress

import pytest

from acsync.datasets import DatasetName
from acsync.errors import SyncFailed
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from acsync.sync.context import open_sync
from acsync.sync.copy_slice import copy_slice
from tests.support import faults
from tests.support.fixtures import CopyAccount
from tests.support.syncs import assert_exact, fetch, plan_dataset, run_incremental

pytestmark = pytest.mark.parametrize(
    "options", [AccountOptions(contacts=300, deals=200, masked_share=0, rate_limit=None)]
)

PASS = """
    update ac_staged_slices set staged_at = staged_at - interval '{0} min';
    update ac_staged_plans set planned_at = planned_at - interval '{0} min';
    update ac_sync_logs set "timestamp" = "timestamp" - interval '{0} min';
"""
AGES = "select data_type, age > interval '{} min', age < interval '{} min' from ac_freshness"


def stop_copying(name: DatasetName, then: Callable[[], None] = lambda: None) -> None:
    """Start a sync that plans, then copies all slices and stops before any verdict."""
    settings = read_settings()
    with suppress(SyncFailed), open_sync(settings, (name,), holder="a test") as context:
        job = plan_dataset(context, name)
        then()
        for slice_ in job.slices:
            copy_slice(context, job, slice_)
        raise SyncFailed("stopped")


def test_resumed_records_are_told_and_count_in_the_age(
    copy_account: CopyAccount, database: Database
) -> None:
    """A published record may have been read before the sync began."""
    stop_copying("contacts")
    fetch(database, PASS.format(10))

    result = copy_account()

    (warning,) = result.datasets["contacts"].warnings
    assert re.fullmatch(
        r"\d+ contacts were taken over from a sync that did not finish; "
        r"the oldest was read 1[01] min before this sync started",
        warning,
    )
    assert result.datasets["deals"].warnings == ()
    assert sorted(fetch(database, AGES.format(10, 12))) == [
        ("contacts", True, True),
        ("deals", False, True),
    ]


def test_old_records_are_read_again(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The limit is half an hour, unless ACSYNC_MAX_DURATION is longer."""
    stop_copying("contacts")
    fetch(database, PASS.format(31))
    account.change("contacts", 150)
    account.delete("contacts", 9)

    result = copy_account()

    assert result.datasets["contacts"].warnings == ()
    assert_exact(database, account)


def test_records_without_their_relations_are_not_resumed(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Tags failed in a sync that was stopped, or in an incremental one after it."""
    copy_account()
    account.add("contacts", 30)
    tags = faults.status(500).only(
        lambda call: call.path == "contacts" and call.includes_any("contactTags")
    )
    stop_copying("contacts", then=lambda: account.faults.add(tags))
    account.faults.clear()
    copy_account("contacts")
    assert_exact(database, account)

    stop_copying("contacts")
    account.add("contacts", 30)
    account.faults.add(tags)
    run_incremental(read_settings())
    account.faults.clear()
    copy_account("contacts")
    assert_exact(database, account)


@pytest.mark.parametrize(("limit", "is_resumed"), [("50m", True), ("1m", False)])
def test_a_longer_time_limit_allows_older_records(
    copy_account: CopyAccount,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    *,
    is_resumed: bool,
) -> None:
    """The limit is at least the interval and the longest duration of a sync."""
    monkeypatch.setenv("ACSYNC_MAX_DURATION", limit)
    stop_copying("contacts")
    fetch(database, PASS.format(40 if is_resumed else 16))

    result = copy_account()

    assert bool(result.datasets["contacts"].warnings) is is_resumed


@pytest.mark.parametrize(("deleted", "added"), [(150, 0), (40, 40), (150, 150)])
def test_many_deletions_drop_what_is_staged(
    copy_account: CopyAccount, account: Account, database: Database, deleted: int, added: int
) -> None:
    """Additions hide deletions in the total, but the newest page shows them."""
    stop_copying("contacts")
    account.delete("contacts", deleted)
    account.add("contacts", added)

    result = copy_account()

    assert (result.success, result.datasets["contacts"].warnings) == (True, ())
    assert_exact(database, account)


def test_a_surplus_of_resumed_records_is_not_published(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """More records were added than a page shows. At the end the count shows the deletions."""
    stop_copying("contacts")
    account.delete("contacts", 40)
    account.add("contacts", 160)

    refused = copy_account()
    assert re.match(
        "ActiveCampaign counts 420 contacts, but 4[56][0-9] were read",
        str(refused.datasets["contacts"].error),
    )

    assert copy_account().success
    assert_exact(database, account)


def test_a_shrink_that_was_refused_is_not_resumed(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The records may be back before the next sync."""
    assert copy_account().success
    account.delete("contacts", 200)
    assert "are gone from the account" in str(copy_account().datasets["contacts"].error)
    account.change("contacts", account.ids("contacts"))

    result = copy_account(accept_shrink=True)

    assert result.datasets["contacts"].warnings == ()
    assert_exact(database, account)


def test_a_sync_of_deals_alone_leaves_contacts_resumable(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Otherwise the contacts were read for nothing."""
    stop_copying("contacts")
    assert copy_account("deals").success
    calls = account.statistics.by_path["contacts"]

    result = copy_account("contacts")

    assert "taken over" in result.datasets["contacts"].warnings[0]
    assert account.statistics.by_path["contacts"] - calls <= 4
    assert_exact(database, account)
