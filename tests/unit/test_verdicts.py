"""A copy is wrong only if that is proven, and what differs is named without values."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import Record, parse_record
from acsync.enrich.differences import Name, find_differences
from acsync.enrich.encoding import encode
from acsync.enrich.enricher import Enricher
from acsync.forgotten import Forgotten
from acsync.readings import Interval
from acsync.store.verification import PublishedRecord
from acsync.sync.account_reader import Names
from acsync.sync.verdict import Finding, Judge, Look, find_unlike

COPIED_AT = datetime(2026, 11, 28, 12, tzinfo=UTC)
OLD, NEW = "2026-11-28T05:59:00-05:00", "2026-11-28T07:01:00-05:00"
NAMES = Names(
    Enricher("contacts", {"contact_fields": [], "lists": []}), frozenset(), {}, Forgotten()
)
JUDGE = Judge("contacts", NAMES, frozenset(), COPIED_AT, COPIED_AT + timedelta(hours=1))

CONTACT = {
    "id": "7",
    "phone": "1",
    "sentcnt": "3",
    "contactTags": ["5"],
    "tags": ["red"],
    "lists": [{"id": "2", "name": "News", "status": "active"}],
    "customFields": {"CITY": {"value": "Rome", "fieldId": "4", "fieldTitle": "City"}},
}


def changed(record: Record, key: str, value: Any) -> Record:
    return {**record, key: value}


CITY = CONTACT["customFields"]["CITY"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("key", "value", "fields"),
    [
        ("phone", "2", ["phone"]),
        ("phone", None, ["phone"]),
        ("extra", None, ["extra"]),
        ("sentcnt", "4", []),
        ("contactTags", ["5", "6"], ["tags"]),
        ("tags", ["blue"], ["tags"]),
        ("lists", [{"id": "2", "name": "News", "status": "bounced"}], ["lists.2"]),
        ("lists", [{"id": "2", "name": "Old", "status": "active"}], ["lists.2"]),
        ("lists", [], ["lists.2"]),
        ("customFields", {"CITY": {**CITY, "value": "Oslo"}}, ["customFields.CITY"]),
        ("customFields", {"CITY": {**CITY, "fieldTitle": "Town"}}, ["customFields.CITY"]),
        ("customFields", {}, ["customFields.CITY"]),
    ],
)
def test_each_difference_is_named(key: str, value: Any, fields: list[str]) -> None:
    """Counters are no difference."""
    published = changed(CONTACT, key, value)

    assert find_differences("contacts", CONTACT, published, ()) == tuple(fields)


@pytest.mark.parametrize(
    ("key", "value", "renamed"),
    [
        ("tags", ["blue"], [("tags", "blue"), ("tags", "red")]),
        ("lists", [{"id": "2", "name": "Old", "status": "active"}], [("lists", "2")]),
        ("customFields", {"TOWN": {**CITY, "fieldTitle": "Town"}}, [("contact_fields", "4")]),
    ],
)
def test_a_name_that_the_account_changed_is_no_difference(
    key: str, value: Any, renamed: Iterable[Name]
) -> None:
    """The next sync brings it up to date in place."""
    published = changed(CONTACT, key, value)

    assert find_differences("contacts", CONTACT, published, frozenset(renamed)) == ()


def copy(**values: Any) -> PublishedRecord:
    """Return a published contact whose hash fits."""
    encoded = encode({"id": "7", "udate": OLD, "customFields": {}, **values})
    return PublishedRecord(parse_record(encoded.body), encoded.hash, is_foreign=False)


def page(**values: Any) -> WalkPage:
    row = {"id": "7", "udate": OLD, **values}
    return WalkPage([row], [], {}, (7,), Interval(7, 7), 1, 0.0)


def verdict(look: Look, earlier: Look | None = None) -> str:
    """Return the verdict on one look."""
    findings = JUDGE.judge_all({7: look}, {7: earlier} if earlier else {})
    return findings[7].verdict


def test_only_a_date_or_a_sync_proves_a_change() -> None:
    """The account may change tags, lists and custom values without a date."""
    first = Look(copy(phone="1"), page(phone="2"))

    assert verdict(first) == "undecided"
    assert verdict(Look(copy(phone="1"), page(phone="2", udate=NEW))) == "changed"
    assert verdict(Look(copy(phone="1"), page(phone="2", udate="2099-01-01T00:00:00Z"))) == (
        "undecided"
    )
    assert verdict(Look(copy(phone="2"), page(phone="2")), first) == "changed"
    assert verdict(Look(copy(phone="2"), page(phone="3")), first) == "changed"
    assert verdict(Look(copy(phone="1"), page(phone="3")), first) == "undecided"
    assert verdict(Look(copy(phone="1"), page(phone="2")), first) == "different"


def test_only_the_next_sync_proves_a_deletion() -> None:
    first = Look(copy(), None)

    assert verdict(first) == "undecided"
    assert verdict(Look(None, None), first) == "deleted"
    assert verdict(Look(copy(), None), first) == "different"
    assert verdict(Look(copy(), page()), first) == "changed"
    assert verdict(Look(None, page()), Look(None, page())) == "different"


def test_a_call_without_an_answer_proves_nothing() -> None:
    failed = Look(copy(), None, "status 500")

    assert verdict(failed) == "undecided"
    assert verdict(failed, failed) == "undecided"
    assert verdict(Look(copy(phone="1"), page(phone="2")), failed) == "undecided"


def test_a_row_that_no_sync_wrote_is_different_at_once() -> None:
    """Its hash does not fit, or it was written after the last publication."""
    edited = PublishedRecord(copy(phone="1").record, b"another", is_foreign=False)
    foreign = PublishedRecord(copy(phone="1").record, copy(phone="1").hash, is_foreign=True)

    assert verdict(Look(edited, page(phone="1"))) == "different"
    assert verdict(Look(foreign, page(phone="2"))) == "different"
    assert verdict(Look(foreign, None)) == "different"
    assert verdict(Look(foreign, page(phone="1"))) == "equal"


def test_a_key_with_another_form_in_single_answers_is_not_compared() -> None:
    """It differs in nearly all records, and nobody has edited them."""
    looks = [Look(copy(), page())] * 30
    unlike = Finding("undecided", ("accountContacts",))
    rare = Finding("undecided", ("phone",))

    assert find_unlike([unlike] * 29 + [rare], looks) == {"accountContacts"}
    assert find_unlike([unlike] * 20 + [Finding("equal")] * 10, looks) == frozenset()
    assert find_unlike([unlike] * 10, looks[:10]) == frozenset()
