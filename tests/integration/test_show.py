"""`acsync show` prints one record, its history, and what the account says now."""

import json

import pytest

from acsync.datasets import Record
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import expected_record
from acsync.simulator.requests import Call
from tests.support import faults
from tests.support.commands import acsync
from tests.support.fixtures import CopyAccount

SMALL = AccountOptions(contacts=60, deals=60, rate_limit=None, masked_share=0)


@pytest.mark.parametrize("options", [SMALL])
def test_a_deal_is_shown_with_its_history_and_beside_the_account(
    copy_account: CopyAccount, account: Account
) -> None:
    """Both by title and name, and with the fields that differ now."""
    deal = account.ids("deals")[5]
    copy_account()
    account.faults.add(faults.move_deals("3", "7"))
    copy_account()
    account.faults.clear()
    expected = expected_record(account, "deals", deal)

    shown = acsync("show", "deal", str(deal), "--live")
    answer = json.loads(acsync("show", "deal", str(deal), "--live", "--json").stdout)

    assert shown.returncode == 0, shown.stderr
    assert f"Deal {deal} is in the copy. The account differs in: group, stage." in shown.stdout
    for title in ("Stages, newest first", "Changed fields, newest first", "Changes, newest first"):
        assert title in shown.stdout
    assert shown.stdout.count("≠") >= 2
    assert answer["record"]["stage"] == "7"
    assert answer["live"]["record"]["stage"] == expected["stage"]
    assert answer["live"]["differences"] == ["group", "stage"]
    assert [change["change"] for change in answer["changes"]] == ["updated", "added"]
    assert {change["field"] for change in answer["fieldChanges"]} >= {"stage_id"}


@pytest.mark.parametrize("options", [SMALL])
def test_dates_of_tags_and_lists_are_compared_with_the_account(
    copy_account: CopyAccount, account: Account
) -> None:
    """The record has only names and statuses, and `acsync verify` compares them too."""
    contact = account.ids("contacts")[0]
    copy_account()
    same = acsync("show", "contact", str(contact), "--live")
    account.faults.add(faults.body_fault("other dates", change_dates))
    shown = json.loads(acsync("show", "contact", str(contact), "--live", "--json").stdout)
    verified = json.loads(acsync("verify", "--no-wait", "--only", "contacts", "--json").stdout)

    lists = sorted(f"lists.{each['id']}" for each in shown["record"]["lists"])
    assert f"Contact {contact} is in the copy. The account says the same." in same.stdout
    assert lists
    assert shown["live"]["differences"] == [*lists, "tags"]
    undecided = verified["datasets"]["contacts"]["undecidedFields"]
    assert undecided[str(contact)] == shown["live"]["differences"]


def change_dates(_call: Call, body: Record) -> None:
    """Change when a contact got its tags, and why it left its lists."""
    for row in body.get("contactTags", ()):
        row["cdate"] = "2021-01-01T00:00:00-06:00"
    for row in body.get("contactLists", ()):
        row["unsubreason"] = "too many emails"


@pytest.mark.parametrize("options", [SMALL])
def test_deleted_new_and_unknown_contacts_get_a_clear_sentence(
    copy_account: CopyAccount, account: Account
) -> None:
    """A contact that is in the copy comes with its fields, tags and lists."""
    kept, gone, *_ = account.ids("contacts")
    copy_account()
    account.delete("contacts", [gone])
    copy_account()
    (new,) = account.add("contacts", 1)
    record = expected_record(account, "contacts", kept)

    copy = acsync("show", "contact", str(kept))
    live = acsync("show", "contact", str(kept), "--live")
    deleted = acsync("show", "contact", str(gone))
    created = acsync("show", "contact", str(new), "--live")
    unknown = acsync("show", "contact", str(new))

    assert record["cdate"] in copy.stdout
    assert all(tag in copy.stdout for tag in record["tags"])
    assert f"Contact {kept} is in the copy. The account says the same." in live.stdout
    assert "≠" not in live.stdout
    assert f"Contact {gone} was deleted: the sync of " in deleted.stdout
    assert f"Contact {new} is not in the copy. The account has it now;" in created.stdout
    assert [each.returncode for each in (copy, live, deleted, created, unknown)] == [0, 0, 0, 0, 1]
    assert f"Contact {new}: no sync has ever seen such a contact. Check the id" in unknown.stderr
