"""Two forms of a record have the same content if the account says the same in both."""

from typing import Any

import pytest

from acsync.datasets import NOT_CONTENT, DatasetName, Record, parse_record
from acsync.enrich.content import has_same_content, has_same_relations
from acsync.enrich.encoding import encode
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import expected_record

ACCOUNT = Account(AccountOptions(contacts=20, deals=20, masked_share=0))


def stored(name: DatasetName) -> Record:
    """Return a record as a sync stores it."""
    return parse_record(encode(expected_record(ACCOUNT, name, ACCOUNT.ids(name)[0])).body)


def field(value: object, field_id: str | None = "3", **more: object) -> Record:
    return {"value": value, "fieldId": field_id, "fieldTitle": "Plan", "fieldType": "text"} | more


@pytest.mark.parametrize("name", ["contacts", "deals"])
def test_every_other_key_is_content(name: DatasetName) -> None:
    """A key that ActiveCampaign adds counts as well."""
    record = stored(name)

    for key in record:
        is_same = has_same_content(name, record, record | {key: "another"})
        assert is_same == (key in NOT_CONTENT[name] | {"tags"}), key
    assert not has_same_content(name, record, record | {"new": None})


@pytest.mark.parametrize(
    ("fields", "others", "is_same"),
    [
        ({"PLAN": field("a")}, {"TARIFF": field("a", fieldTitle="Tariff")}, True),
        ({"PLAN": field("a")}, {"field_3": field("a", fieldType=None, fieldTitle=None)}, True),
        (
            {"PLAN": field("||a||")},
            {"PLAN": field("||a||", fieldType="listbox", values=["a"])},
            True,
        ),
        ({"PLAN": field("a")}, {"PLAN": field("b")}, False),
        ({"PLAN": field("a")}, {"PLAN": field("a", "4")}, False),
        ({"PLAN": field("a")}, {}, False),
        ({"PLAN": field("1", currency="eur")}, {"PLAN": field("1", currency="usd")}, False),
        ({"A": field("1"), "A_3": field("2")}, {"B_3": field("2"), "B": field("1")}, True),
        ({"A": field("1"), "A_3": field("2")}, {"A": field("2"), "A_3": field("1")}, False),
        ({"field_9": field("a", None)}, {"field_8": field("a", None)}, False),
    ],
)
def test_a_value_belongs_to_its_field_by_id(fields: Record, others: Record, is_same: bool) -> None:
    """Key, title and type are the field's, and change in every record at once."""
    record = stored("contacts")

    assert is_same == has_same_content(
        "contacts", record | {"customFields": fields}, record | {"customFields": others}
    )


@pytest.mark.parametrize(
    ("time", "other", "is_same"),
    [
        ("2024-03-01T10:00:00-06:00", "2024-03-01T17:00:00+01:00", True),
        ("2024-03-01T16:00:00Z", "2024-03-01 10:00:00-0600", True),
        ("2024-03-01T10:00:00-06:00", "2024-03-01T10:00:00-05:00", False),
        ("2024-03-01T10:00:00", "2024-03-01T10:00:00Z", False),
        ("0000-00-00T00:00:00-06:00", "0000-00-00T00:00:00-05:00", False),
        ("0001-01-01T00:00:00+09:00", "9999-12-31T23:59:59-09:00", False),
    ],
)
def test_an_instant_can_be_written_with_any_offset(time: str, other: str, is_same: bool) -> None:
    """An account that moves to another time zone changes the offset of every time."""
    membership = {"id": "1", "name": "News", "status": "active"}

    def with_time(text: str) -> Record:
        times: Any = [membership | {"subscribedAt": text}]
        values = {"SEEN": field(text, fieldType="datetime")}
        return stored("contacts") | {"cdate": text, "lists": times, "customFields": values}

    assert is_same == has_same_content("contacts", with_time(time), with_time(other))


def test_tags_are_compared_by_name_if_a_form_has_no_ids() -> None:
    """After the account stopped sending tags, a contact keeps its last known ones without ids."""
    named: Record = {"id": "1", "tags": ["a"]}
    with_ids: Record = {**named, "contactTags": ["5"]}

    assert has_same_content("contacts", named, with_ids)
    assert not has_same_content("contacts", named | {"tags": ["b"]}, with_ids)
    assert has_same_content("contacts", with_ids | {"tags": ["renamed"]}, with_ids)
    assert not has_same_content("contacts", with_ids | {"contactTags": ["5", "6"]}, with_ids)


@pytest.mark.parametrize(
    ("relations", "is_same"),
    [
        ({"tags": {"7": ["VIP", 5]}}, True),
        ({"tags": {"7": ["Renamed", 5]}}, True),
        ({"tags": {"7": ["VIP", 6]}}, False),
        ({"tags": {"7": ["VIP", None]}}, False),
        ({"tags": {"7": ["VIP", 5], "8": ["New", 6]}}, False),
        ({"tags": {}}, False),
        ({}, True),
        ({"lists": {"1": ["News", "active", 5, None, None]}}, True),
    ],
)
def test_a_date_of_a_tag_is_content_and_its_name_is_not(relations: Record, is_same: bool) -> None:
    """A kind that one form lacks was not read, or stored before there were relations."""
    assert has_same_relations(relations, {"tags": {"7": ["VIP", 5]}}) == is_same
