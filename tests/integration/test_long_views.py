"""Tags, lists and choices have one row each, which BI tools can filter and count."""

from collections.abc import Iterable
from typing import Any

import pytest

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import expected_record
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from tests.support import faults
from tests.support.calls import on_path
from tests.support.fixtures import CopyAccount
from tests.support.syncs import assert_exact, assert_relations, changes_of, fetch

CHOICES = "select data_type, record_id, field_id, choice, label from ac_field_choices"
CHOICE_TYPES = ("dropdown", "radio", "listbox", "checkbox", "multiselect")


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with a field of each type."""
    return AccountOptions(
        contacts=500, deals=200, rate_limit=None, contact_fields=14, deal_fields=14, tags=14
    )


def expected_choices(account: Account, name: DatasetName) -> Iterable[tuple[Any, ...]]:
    labels = {
        (option["field"], option["value"]): option["label"]
        for option in account.metadata.field_options
        if name == "contacts"
    }
    for record_id in account.ids(name):
        for field in expected_record(account, name, record_id)["customFields"].values():
            if field["fieldType"] in CHOICE_TYPES:
                field_id, value = field["fieldId"], field["value"]
                for choice in field.get("values", [value] if value else []):
                    label = labels.get((field_id, choice), choice)
                    yield name, record_id, str(field_id), choice, label


def test_each_tag_list_and_choice_is_a_row(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """They are exact, also after changes; odd rows of the API make no odd rows here."""
    account.faults.add(faults.rename_tag("2", "Tag 3"))
    copy_account()
    account.faults.clear()
    for name in DATASETS:
        account.change(name, 60)
        account.delete(name, 5)
    copy_account()

    assert_relations(database, account)
    choices = fetch(database, CHOICES)
    assert len(choices) == len({*choices})
    assert {*choices} == {
        *expected_choices(account, "contacts"),
        *expected_choices(account, "deals"),
    }
    odd_rows = "select count(*) from ac_contact_tags where added_at is null"
    assert fetch(database, odd_rows) > [(0,)]
    reasons = "select count(*), count(reason), count(nullif(reason, '')) from ac_contact_lists"
    ((memberships, not_null, filled),) = fetch(database, reasons)
    assert memberships > not_null == filled > 0


def test_labels_are_shown_next_to_their_choices(
    copy_account: CopyAccount, database: Database
) -> None:
    """Reports showed `s` and `n/a` instead of Small and Not applicable."""
    copy_account()

    sql = "select distinct options, labels from ac_fields where type = 'dropdown' order by 1"
    assert fetch(database, sql) == [
        (
            ["Small", "Medium, mostly", "Large", "Not – applicable"],
            ["Small", "Medium, mostly", "Large", "Not – applicable"],
        ),
        (["s", "m", "l", "n/a"], ["Small", "Medium, mostly", "Large", "Not – applicable"]),
    ]


def test_the_first_sync_after_the_upgrade_fills_the_views(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """It makes no update, and the next sync changes nothing at all."""
    copy_account()
    # As 0014 left them: hashes without relations.
    fetch(
        database,
        "update ac_contact_versions set relations = null, hash = substr(sha256(hash), 1, 16)",
    )
    fetch(database, "update ac_field_columns set labels = null")
    changed = account.change("contacts", 5)

    result = copy_account()

    contacts = result.datasets["contacts"].changes
    assert contacts
    assert contacts.updated == len(changed)
    assert contacts.refreshed > 400
    assert result.datasets["contacts"].fields == ()
    assert_exact(database, account)
    again = copy_account().datasets["contacts"].changes
    assert again
    assert (again.updated, again.refreshed) == (0, 0)


def test_tags_and_lists_that_stay_are_not_written_again(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Most changes of a contact leave them as they are."""
    copy_account("contacts")
    rows = "select ctid, xmin::text, * from ac_stored_lists order by contact_id, list_id"
    before = fetch(database, rows)
    changed = account.change_part("contacts", "custom fields", 20)

    copy_account("contacts")

    assert changes_of(database)["contacts"] == (0, len(changed), 0)
    assert fetch(database, rows) == before


def alter_rows(key: str, **values: str) -> Fault:
    """Change the first row of an array of each page."""

    def change(_call: Call, body: Record) -> None:
        for row in body.get(key, [])[:1]:
            row.update(values)

    return faults.body_fault(f"alters-{key}", change).only(on_path("contacts"))


@pytest.mark.parametrize(
    "fault",
    [
        alter_rows("contactTags", cdate="2019-01-01T00:00:00Z"),
        alter_rows("contactLists", unsubreason="I moved away"),
    ],
    ids=["date of a tag", "reason"],
)
def test_a_change_of_relations_alone_is_an_update(
    fault: Fault, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A tag that was removed and added again has another date."""
    copy_account("contacts")
    before = fetch(database, "select contact_id, record from ac_contacts order by 1")
    account.faults.add(fault)

    copy_account("contacts")

    _, updated, _ = changes_of(database)["contacts"]
    assert updated > 0
    assert fetch(database, "select contact_id, record from ac_contacts order by 1") == before


def test_another_offset_or_name_is_no_update(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Times are compared as instants, and names belong to the tag or list."""
    copy_account("contacts")
    account.metadata.listings["lists"][0]["name"] = "Renamed"

    def in_utc(_call: Call, body: Record) -> None:
        for row in body.get("contactTags", []):
            if row["cdate"] and row["cdate"].endswith("-06:00"):
                hour = int(row["cdate"][11:13]) + 6
                if hour < 24:
                    row["cdate"] = f"{row['cdate'][:11]}{hour:02}{row['cdate'][13:19]}Z"

    account.faults.add(faults.body_fault("sends-utc", in_utc).only(on_path("contacts")))

    copy_account("contacts")

    assert changes_of(database)["contacts"] == (0, 0, 0)
    assert fetch(database, "select distinct list from ac_contact_lists where list_id = 1") == [
        ("Renamed",)
    ]


def test_relations_that_stop_coming_stay(
    copy_account: CopyAccount, account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the setting, the views have no rows."""
    copy_account("contacts")
    account.faults.add(faults.forbidden().only(on_path("lists")))
    account.faults.add(ignored_tags())

    copy_account("contacts")

    assert_relations(database, account)
    assert changes_of(database)["contacts"] == (0, 0, 0)

    monkeypatch.setenv("ACSYNC_SIDELOADS", "lists")
    copy_account("contacts")
    assert fetch(database, "select count(*) from ac_contact_tags") == [(0,)]
    assert fetch(database, "select count(*) from ac_contact_lists") > [(0,)]


def ignored_tags() -> Fault:
    """Answer as if `include` did not name the tags."""

    def change(_call: Call, body: Record) -> None:
        for key in ("contactTags", "tags"):
            body.pop(key, None)
        for row in body.get("contacts", []):
            row.pop("contactTags", None)

    return faults.body_fault("ignores-tags", change).only(on_path("contacts"))


def test_choices_follow_their_field(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A retyped field is shown once, and a deleted one and a masked deal keep their choices."""
    copy_account()
    fields = account.metadata.listings["contact_fields"]
    dropdown = next(field for field in fields if field["type"] == "dropdown")
    radio = next(field for field in fields if field["type"] == "radio")
    dropdown["type"] = "listbox"
    fields.remove(radio)
    account.mask(account.ids("deals")[:20])
    before = {*fetch(database, CHOICES)}

    copy_account()

    choices = fetch(database, CHOICES)
    assert len(choices) == len({*choices})
    assert {*choices} == before
    assert radio["id"] in {field_id for _, _, field_id, *_ in choices}
