"""Tags and list status come with the contacts, and their failure never costs a sync."""

from typing import Any

import pytest

from acsync.activecampaign.client import ATTEMPTS
from acsync.datasets import DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.expected import compare
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from acsync.store.snapshot import read_published
from tests.support import faults
from tests.support.calls import on_path
from tests.support.fixtures import CopyAccount
from tests.support.syncs import assert_exact, fetch

SHOWN = "select contact_id, tags, lists from ac_contacts order by contact_id"


def test_they_are_columns_and_come_with_the_same_calls(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """They are exact. The only extra call lists the names of the lists."""
    assert copy_account().success

    assert_exact(database, account)
    shown = fetch(database, SHOWN)
    assert {status for *_, lists in shown for status in [row["status"] for row in lists]} == {
        "unconfirmed", "active", "unsubscribed", "bounced"
    }  # fmt: skip
    assert len({tag for _, tags, _ in shown for tag in tags}) == 12
    assert account.statistics.by_path["lists"] == 1
    assert account.statistics.by_path["contacts"] < 45
    assert fetch(database, "select count(*) from ac_contacts where tags @> '{Tag 3}'") > [(0,)]
    copied = copy_account().datasets["contacts"].changes
    assert copied is not None
    assert (copied.added, copied.updated, copied.deleted) == (0, 0, 0)


def reverse_relations() -> Fault:
    """Send the rows of relations, and the ids that name them, in reverse order."""

    def change(_call: Call, body: Record) -> None:
        for key in ("contactTags", "contactLists", "tags"):
            body.get(key, []).reverse()
        for row in body.get("contacts", []):
            for key in ("contactTags", "contactLists"):
                row[key].reverse()

    return faults.body_fault("reverses-relations", change).only(on_path("contacts"))


def test_another_order_of_the_api_changes_no_record(
    account: Account, copy_account: CopyAccount
) -> None:
    copy_account()
    account.faults.add(reverse_relations())

    changes = copy_account().datasets["contacts"].changes

    assert changes is not None
    assert (changes.updated, changes.records) == (0, 700)


@pytest.mark.parametrize("is_ignored", [True, False], ids=["ignored", "refused"])
def test_an_account_that_does_not_send_them_is_copied_without(
    is_ignored: bool, account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """The sync warns. If only tags are refused, lists still come."""
    refused = faults.status(400).only(lambda call: call.includes_any("contactTags"))
    account.faults.add(ignored_relations() if is_ignored else refused)

    result = copy_account()

    assert result.success
    warnings = " ".join(result.datasets["contacts"].warnings)
    assert "does not send tags" in warnings
    assert fetch(database, "select count(*) from ac_contacts where tags is not null") == [(0,)]
    if is_ignored:
        assert "tags and lists" in warnings
        copied = read_published(database, "contacts")
        assert compare(account, "contacts", copied, without_relations).exact
    else:
        assert fetch(database, "select count(*) from ac_contacts where lists is null") == [(0,)]


def test_lists_that_the_key_may_not_see_leave_the_tags(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Missing rights cost only the lists. A wrong key is reported as such."""
    account.faults.add(faults.status(403).only(lambda call: call.includes("contactLists")))

    result = copy_account()

    assert result.success
    assert "does not send lists along" in " ".join(result.datasets["contacts"].warnings)
    assert fetch(database, "select count(*) from ac_contacts where tags is null") == [(0,)]

    account.faults.add(faults.forbidden().only(on_path("contacts")))
    calls = account.statistics.by_path["contacts"]
    assert "AC_API_KEY" in (copy_account().datasets["contacts"].error or "")
    assert account.statistics.by_path["contacts"] - calls == 2 * ATTEMPTS


def test_known_relations_stay_if_they_stop_coming(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """If a plan or a release removes them, no contact may lose its tags."""
    copy_account()
    before = fetch(database, SHOWN)
    account.faults.add(ignored_relations())

    result = copy_account()

    changes = result.datasets["contacts"].changes
    assert result.success
    assert changes is not None
    assert fetch(database, SHOWN) == before
    assert "stay as they were last known" in " ".join(result.datasets["contacts"].warnings)


def without_relations(_name: DatasetName, record: Record) -> Record:
    kinds = {"contactTags", "contactLists", "tags", "lists"}
    return {key: value for key, value in record.items() if key not in kinds}


def ignored_relations() -> Fault:
    """Answer as if `include` asked only for custom field values."""

    def change(_call: Call, body: Record) -> None:
        for key in ("contactTags", "contactLists", "tags"):
            body.pop(key, None)
        for row in body.get("contacts", []):
            row.pop("contactTags", None)
            row.pop("contactLists", None)

    return faults.body_fault("ignores-relations", change).only(on_path("contacts"))


def cut_relations(most: int) -> Fault:
    """Send at most this number of tag rows, for pages of any size."""

    def change(_call: Call, body: Record) -> None:
        body["contactTags"] = body.get("contactTags", [])[:most]

    return faults.body_fault("cuts-tags", change).only(on_path("contacts"))


def test_a_page_that_is_cut_is_read_in_smaller_ones(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Otherwise tags would be lost silently."""
    account.faults.add(cut_relations(12))

    assert copy_account().success

    assert_exact(database, account)


def test_lists_that_may_not_be_read_keep_their_names(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    copy_account()
    before = fetch(database, SHOWN)
    account.faults.add(faults.forbidden().only(on_path("lists")))

    result = copy_account()

    assert result.success
    assert fetch(database, SHOWN) == before
    assert "/lists" in " ".join(result.datasets["contacts"].warnings)


@pytest.mark.parametrize(
    ("relations", "keys"), [("", ()), ("tags", ("tags",)), ("lists", ("lists",))]
)
def test_they_can_be_left_out(
    relations: str,
    keys: tuple[str, ...],
    account: Account,
    copy_account: CopyAccount,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty setting is a choice here: no relations are read."""
    monkeypatch.setenv("ACSYNC_SIDELOADS", relations)

    result = copy_account()

    assert result.success
    assert result.datasets["contacts"].warnings == ()
    records: list[Any] = fetch(database, "select record from ac_contacts")
    assert all({*record} & {"tags", "lists"} == {*keys} for (record,) in records)
    assert bool(account.statistics.by_path["lists"]) == ("lists" in keys)
