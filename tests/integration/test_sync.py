"""A whole sync step by step, without Prefect, on a real Postgres and a simulated account."""

from dataclasses import replace
from typing import Any

import pytest

import migrations
from acsync.datasets import DATASETS, DatasetName, Record
from acsync.errors import Incomplete, SyncFailed
from acsync.preflight.account_checks import check_account
from acsync.preflight.database_checks import Known
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault, reply_with
from acsync.simulator.requests import Call
from acsync.store.database import Database
from acsync.store.snapshot import published_ids, published_records
from acsync.store.sync_status import read_status
from acsync.sync.context import open_sync
from acsync.sync.copy_slice import copy_slice
from acsync.sync.read import read_newest_again
from acsync.sync.verify import verify
from tests.support import faults
from tests.support.calls import for_newest_page, on_call, on_path
from tests.support.fixtures import SHORT_PAUSES, CopyAccount
from tests.support.postgres import Postgres
from tests.support.syncs import assert_exact, changes_of, copy_slices, last_log, plan_dataset


@pytest.mark.parametrize(
    "options",
    [
        AccountOptions(contacts=0, deals=0, rate_limit=None),
        AccountOptions(contacts=1, deals=1, rate_limit=None),
        AccountOptions(
            contacts=150,
            deals=150,
            contact_fields=130,
            deal_fields=130,
            stages=130,
            users=130,
            camel_case_values=True,
            page_cap=15,
            rate_limit=None,
        ),
    ],
    ids=["empty", "one of each", "more than a page of everything"],
)
def test_accounts_of_every_shape_are_copied_exactly(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Small accounts end on page one. Large ones have over 100 fields, stages and users."""
    assert copy_account().success

    assert_exact(database, account)


def test_a_masked_deal_keeps_its_last_known_body(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The key lost a pipeline, so its deals come as stubs. Their rows must survive."""
    assert copy_account().success
    deal = next(deal for deal in account.ids("deals") if deal not in account.masked_ids())
    before = published_records(database, "deals", [deal])[deal]

    account.mask([deal])
    assert copy_account().success

    after = published_records(database, "deals", [deal])[deal]
    assert after == {**before, "isDisabled": True}
    assert changes_of(database)["deals"] == (0, 1, 0)
    assert copy_account().success
    assert changes_of(database)["deals"] == (0, 0, 0)


def test_a_page_that_always_fails_costs_one_dataset(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The sync names the reason, keeps the last snapshot, and publishes the other dataset."""
    assert copy_account().success
    before = published_ids(database, "contacts")
    account.add("contacts", 5)
    account.add("deals", 5)
    ids = account.ids("contacts")
    account.faults.add(faults.breaks_on("contacts", ids[185]))

    result = copy_account()

    log = last_log(database)
    assert not result.success
    assert "offset=178" in log["contacts_error"]
    assert f"between id {ids[184]} and id {ids[186]}, at offset 185" in log["contacts_error"]
    assert (log["contacts_success"], log["deals_success"], log["overall_success"]) == (
        False,
        True,
        False,
    )
    assert published_ids(database, "contacts") == before
    assert published_ids(database, "deals") == account.ids("deals")


@pytest.mark.parametrize(
    "fault",
    [
        faults.ignore_parameter("id_greater"),
        faults.ignore_parameter("orders"),
        faults.ignore_parameter("include"),
        faults.record_without_id(),
    ],
    ids=lambda fault: fault.name,
)
def test_answers_that_contradict_the_walk_are_not_published(
    fault: Any, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A server that ignores a parameter sends rows that look right but are incomplete."""
    account.faults.add(fault.only(on_path("contacts")))

    assert not copy_account("contacts").success

    assert published_ids(database, "contacts") == []
    assert last_log(database)["contacts_error"]


def test_a_large_loss_is_published_only_when_accepted(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A lost permission of the key looks just like a mass deletion."""
    assert copy_account("contacts").success
    account.delete("contacts", 350)

    assert not copy_account("contacts").success
    assert "--accept-shrink" in last_log(database)["contacts_error"]
    assert len(published_ids(database, "contacts")) == 700

    assert copy_account("contacts", accept_shrink=True).success
    assert published_ids(database, "contacts") == account.ids("contacts")


def test_one_dataset_alone_leaves_the_other_untouched(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """People use `--only` for a first look, or to catch up on one dataset."""
    assert copy_account("deals").success

    log = last_log(database)
    assert (log["contacts_success"], log["deals_success"], log["overall_success"]) == (
        None,
        True,
        True,
    )
    assert account.statistics.by_path["contacts"] == 0
    assert published_ids(database, "contacts") == []


def test_everything_lives_in_the_schema_that_is_asked_for(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    postgres: Postgres,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each account has its own schema, and several can share a database."""
    other = postgres.open(database_url, "client_a")
    migrations.upgrade(other)
    monkeypatch.setenv("ACSYNC_SCHEMA", "client_a")

    assert copy_account().success

    assert_exact(other, account)
    assert published_ids(database, "contacts") == []
    other.close()


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_deletion_between_two_pages_hides_no_record(
    name: DatasetName, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A deletion moves every later record up by one, across the border of the page."""
    first = account.ids(name)[0]
    on_call(
        account,
        lambda call: call.path == name and call.offset > 0,
        lambda: account.delete(name, [first]),
    )
    mark = account.mark()

    assert copy_account(name).success

    assert account.untouched_since(name, mark) <= set(published_ids(database, name))


def reverse_sideload() -> Fault:
    """Reverse the order of the sideloaded objects."""

    def change(call: Call, body: Record) -> None:
        if key := faults.SIDELOADS.get(call.path):
            body.get(key, []).reverse()

    return faults.body_fault("reverses-sideload", change)


def test_values_in_another_order_are_no_change(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The API chooses the order, so it must not fill the change feed."""
    assert copy_account().success
    account.faults.add(reverse_sideload())

    assert copy_account().success

    assert changes_of(database) == {"contacts": (0, 0, 0), "deals": (0, 0, 0)}
    assert_exact(database, account)


@pytest.mark.parametrize(
    "fault",
    [faults.forbidden(), faults.empty_dataset()],
    ids=lambda fault: fault.name,
)
def test_users_that_cannot_be_listed_keep_the_last_known_owners(
    fault: Any, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """They are only names. Refusing the deals, or forgetting the names, would be worse."""
    assert copy_account().success
    account.faults.add(fault.only(on_path("users")))

    result = copy_account("deals")

    assert result.success
    assert "known users are kept: /users" in result.datasets["deals"].warnings[0]
    assert changes_of(database)["deals"] == (0, 0, 0)
    assert last_log(database)["deals_warnings"] == list(result.datasets["deals"].warnings)
    assert_exact(database, account)


@pytest.mark.parametrize("options", [AccountOptions(contacts=20, deals=0, rate_limit=None)])
def test_small_collections_are_asked_for_in_whole_pages(
    copy_account: CopyAccount, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIMIT_PER_PAGE is for records. A listing with two rows per page would need many calls."""
    monkeypatch.setenv("LIMIT_PER_PAGE", "2")

    assert copy_account("contacts").success

    assert account.statistics.by_path["fields"] == 1


def without_crm() -> Fault:
    """Refuse deals, and what explains them, as a marketing-only plan does."""
    refusal = reply_with(status=403, data={"message": "Upgrade your account to enable the CRM"})
    paths = ("deals", "dealGroups", "dealStages", "dealCustomFieldMeta")
    return Fault("no-crm", when=on_path(*paths), reply=refusal)


def test_a_plan_without_crm_names_the_setting(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The error is permanent, so it is not retried, and another key would not help."""
    account.faults.add(without_crm())

    result = copy_account()

    reason = result.datasets["deals"].error or ""
    assert "The plan of this account has no deals. Set ACSYNC_DATASETS=contacts." in reason
    assert "AC_API_KEY" not in reason
    assert published_ids(database, "contacts") == account.ids("contacts")
    assert sum(call.status == 403 for call in account.statistics.log) == 1


def test_contacts_alone_are_a_whole_sync_if_configured(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Success, log and status follow the setting, and no call asks for deals."""
    monkeypatch.setenv("ACSYNC_DATASETS", "contacts")
    account.faults.add(without_crm())

    assert copy_account().success

    log = last_log(database)
    assert (log["contacts_success"], log["deals_success"], log["overall_success"]) == (
        True,
        None,
        True,
    )
    assert read_status(database).statistics["successful_syncs"] == 1
    assert set(account.statistics.by_path) == {"fields", "lists", "contacts"}
    seen = list(check_account(read_settings(), Known()))
    assert {result.status for result in seen} <= {"ok", "warning"}
    assert not any("deal" in result.check for result in seen)


def test_a_second_verification_keeps_the_doubts_of_the_first(
    copy_account: CopyAccount,
    account: Account,
) -> None:
    """Prefect verifies again with the same newest page, beside which newer records are staged."""
    assert copy_account().success
    with open_sync(read_settings(), ("contacts",), holder="a test") as opened:
        context = replace(opened, recount_pauses=SHORT_PAUSES)
        job, copied = copy_slices(context, "contacts")
        account.faults.add(faults.add_to_total(25))
        on_call(account, for_newest_page, lambda: account.add("contacts", 10), times=None)
        end = read_newest_again(context, job)

        for _attempt in range(2):
            with pytest.raises(Incomplete, match="ActiveCampaign counts"):
                verify(context, job, copied, end)


def test_a_dataset_is_not_read_on_after_a_slice_has_failed(served_account: Account) -> None:
    """Its calls would be in vain, and the other dataset needs them."""
    with open_sync(read_settings(), tuple(DATASETS), holder="a test") as context:
        contacts, deals = (plan_dataset(context, name) for name in DATASETS)
        calls = served_account.statistics.by_path["contacts"]
        context.readers.cancel("contacts")

        with pytest.raises(SyncFailed, match="Another slice of the contacts failed"):
            copy_slice(context, contacts, contacts.slices[0])
        with pytest.raises(SyncFailed, match="failed before its newest page was read"):
            read_newest_again(context, contacts)
        copy_slice(context, deals, deals.slices[0])

    assert served_account.statistics.by_path["contacts"] == calls


def test_an_undone_import_ends_with_a_warning(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """Who undoes an import looks to the walk like a replica that lags: it is asked again first."""
    ids = account.ids("contacts")
    on_call(account, for_newest_page, lambda: account.delete("contacts", ids[-150:]))

    (warning,) = copy_account().datasets["contacts"].warnings

    assert warning.startswith(f"no contacts came from id {ids[-151] + 1} to {ids[-20] - 1}, ")
    assert copy_account().success
    assert_exact(database, account)
