"""Data must not vanish unseen, but deliberate deletions block nothing."""

from collections.abc import Callable

import pytest

from acsync.datasets import DATASETS, Record
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from tests.support import faults
from tests.support.calls import on_path
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch, last_log

COUNT_HELD = """
    select (select count(*) from ac_contacts, unnest(tags)),
           (select count(*) from ac_contacts, jsonb_array_elements(lists)),
           (select count(*) from ac_contacts, jsonb_object_keys(custom_fields))
"""

SMALL = AccountOptions(contacts=200, deals=200, rate_limit=None)


def add_fault(account: Account, fault: Fault) -> None:
    account.faults.add(fault.only(on_path(*DATASETS)))


def keep_few_relations(key: str, contacts: int) -> Fault:
    """Send no tags, or no lists, except of the first contacts of a page."""

    def change(_call: Call, body: Record) -> None:
        for contact in body.get("contacts", [])[contacts:]:
            gone = set(contact[key])
            contact[key] = []
            body[key] = [row for row in body[key] if row["id"] not in gone]

    return faults.body_fault(f"few-{key}", change)


@pytest.mark.parametrize("options", [SMALL])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (keep_few_relations("contactTags", 3), "tags of contacts are gone"),
        (keep_few_relations("contactTags", 0), "tags of contacts are gone"),
        (keep_few_relations("contactLists", 0), "list memberships of contacts are gone"),
        (faults.keep_values(lambda _: 1), "custom field values of contacts are gone"),
    ],
    ids=["most tags", "all tags", "all lists", "one value of eight"],
)
def test_tags_lists_and_values_that_vanish_are_not_published(
    fault: Fault, reason: str, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The answers are well formed, and every contact still has its record."""
    assert copy_account("contacts").success
    before = fetch(database, COUNT_HELD)
    add_fault(account, fault)

    assert not copy_account("contacts").success

    assert reason in last_log(database)["contacts_error"]
    assert "--only contacts --accept-shrink" in last_log(database)["contacts_error"]
    assert fetch(database, COUNT_HELD) == before
    assert copy_account("contacts", accept_shrink=True).success
    assert fetch(database, COUNT_HELD) < before


@pytest.mark.parametrize("options", [SMALL])
def test_values_of_deals_that_vanish_are_not_published(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    assert copy_account("deals").success
    add_fault(account, faults.keep_values(lambda _: 1))

    assert not copy_account("deals").success

    assert "custom field values of deals are gone" in last_log(database)["deals_error"]


def without_relation(key: str, column: str, number: str) -> Fault:
    """Take what refers to one field, tag or list from every contact, as a deletion does."""

    def change(_call: Call, body: Record) -> None:
        gone = {row["id"] for row in body.get(key, []) if str(row[column]) == number}
        body[key] = [row for row in body.get(key, []) if row["id"] not in gone]
        for contact in body.get("contacts", []):
            contact[key] = [row_id for row_id in contact[key] if row_id not in gone]

    return faults.body_fault(f"without-{key}", change)


def delete_field(account: Account) -> None:
    field = account.metadata.listings["contact_fields"].pop()
    add_fault(account, without_relation("fieldValues", "field", field["id"]))


def delete_list(account: Account) -> None:
    mailing_list = account.metadata.listings["lists"].pop()
    add_fault(account, without_relation("contactLists", "list", mailing_list["id"]))


def delete_common_tag(account: Account) -> None:
    add_fault(account, without_relation("contactTags", "tag", "1"))


@pytest.mark.parametrize(
    ("options", "delete"),
    [
        (AccountOptions(contacts=200, deals=0, rate_limit=None, contact_fields=2), delete_field),
        (AccountOptions(contacts=200, deals=0, rate_limit=None, tags=2), delete_common_tag),
        (AccountOptions(contacts=200, deals=0, rate_limit=None, lists=3), delete_list),
    ],
    ids=["field", "tag", "list"],
)
def test_a_deleted_field_tag_or_list_holds_nothing_up(
    delete: Callable[[Account], None],
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """Each deletion removes more than a fifth of its kind, but a person made it in the account."""
    assert copy_account("contacts").success
    (before,) = fetch(database, COUNT_HELD)
    delete(account)

    assert copy_account("contacts").success

    (after,) = fetch(database, COUNT_HELD)
    assert any(now < 0.8 * was for was, now in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("options", "delete", "reason"),
    [
        (
            AccountOptions(contacts=200, deals=0, rate_limit=None, tags=1),
            delete_common_tag,
            "tags of contacts are gone",
        ),
        (
            AccountOptions(contacts=200, deals=0, rate_limit=None, lists=1),
            delete_list,
            "list memberships of contacts are gone",
        ),
    ],
    ids=["the only tag", "the only list"],
)
def test_the_only_tag_or_list_that_vanishes_must_be_confirmed(
    delete: Callable[[Account], None],
    reason: str,
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """This looks the same as a lost permission."""
    assert copy_account("contacts").success
    delete(account)

    assert not copy_account("contacts").success

    assert reason in last_log(database)["contacts_error"]
    assert copy_account("contacts", accept_shrink=True).success


@pytest.mark.parametrize("options", [AccountOptions(contacts=4, deals=0, rate_limit=None)])
def test_a_few_tags_of_a_small_account_are_everyday_work(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    assert copy_account("contacts").success
    assert 0 < fetch(database, COUNT_HELD)[0][0] < 10
    add_fault(account, keep_few_relations("contactTags", 0))

    assert copy_account("contacts").success


@pytest.mark.parametrize("options", [SMALL])
def test_sideloads_that_are_switched_off_are_no_loss(
    copy_account: CopyAccount, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert copy_account("contacts").success
    monkeypatch.setenv("ACSYNC_SIDELOADS", "")

    assert copy_account("contacts").success

    assert fetch(database, "select count(*) from ac_contacts where tags is not null") == [(0,)]
