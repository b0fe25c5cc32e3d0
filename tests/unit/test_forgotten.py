"""Forgotten people are recognized by keyed hashes, and deals lose what can name them."""

import pytest

from acsync.datasets import Record
from acsync.enrich.encoding import keep_last_body
from acsync.enrich.redaction import NAMELESS_TYPES, is_redacted, redact, redact_forgotten
from acsync.forgotten import Forgotten, Mark

KEY = b"k" * 32
EMPTY = Forgotten(KEY)

DEAL: Record = {
    "id": "45",
    "contact": "7",
    "title": "Kitchen for Jane",
    "description": "call 0155",
    "value": "100",
    "stageData": {"title": "Won?"},
    "customFields": {
        "Notes": {"value": "Jane Doe", "fieldType": "textarea"},
        "Plan": {"value": "||a||", "values": ["a"], "fieldType": "multiselect"},
        "field_9": {"value": "Jane", "fieldType": None},
    },
}
REDACTED: Record = {
    **DEAL,
    "contact": None,
    "title": None,
    "description": None,
    "isContactForgotten": True,
    "customFields": {
        "Notes": {"value": None, "fieldType": "textarea"},
        "Plan": DEAL["customFields"]["Plan"],
        "field_9": {"value": None, "fieldType": None},
    },
}


@pytest.mark.parametrize(
    ("mark", "value", "other"),
    [
        ("contact", 7, "7"),
        ("address", "Jane@Example.com ", "jane@example.com"),
        ("address", "half \ud83d of a pair", "half \ud83d of a pair"),
    ],
)
def test_equal_ids_and_addresses_have_equal_hashes(mark: Mark, value: object, other: str) -> None:
    """The API sends ids as text, and addresses in any case."""
    forgotten = Forgotten(KEY, frozenset({EMPTY.hash(mark, value)}))

    assert forgotten.find(mark, other)


def test_another_key_or_kind_makes_another_hash() -> None:
    """Otherwise hashes of two databases could be compared."""
    digests = {
        EMPTY.hash("contact", "7"),
        EMPTY.hash("address", "7"),
        Forgotten(b"other").hash("contact", "7"),
    }

    assert len(digests) == 3


@pytest.mark.parametrize("nothing", [None, ""])
def test_nobody_is_recognized_by_an_empty_value(nothing: object) -> None:
    """Deals without a contact and contacts without an address are common."""
    forgotten = Forgotten(KEY, frozenset({EMPTY.hash("address", nothing)}))

    assert forgotten.find("address", nothing) is None


def test_a_deal_of_a_forgotten_contact_loses_texts_and_the_id() -> None:
    """Amounts, stages and choices stay, and so do all keys."""
    forgotten = Forgotten(KEY, frozenset({EMPTY.hash("contact", 7)}))

    assert redact_forgotten(DEAL, DEAL, forgotten) == REDACTED
    assert redact(REDACTED) == REDACTED
    hidden = {key: value for key, value in DEAL.items() if key != "contact"}
    assert redact_forgotten(hidden, DEAL, forgotten)["title"] is None
    assert redact_forgotten(DEAL, DEAL, EMPTY) is DEAL


def test_a_stub_of_a_redacted_deal_shows_no_title() -> None:
    """A stub has a title but no contact that could be recognized."""
    stub = {"id": "45", "title": "Kitchen for Jane", "status": "1", "isDisabled": True}

    kept = keep_last_body(stub, REDACTED)

    assert is_redacted(kept)
    assert kept == {**REDACTED, "status": "1", "isDisabled": True}


def test_only_types_without_free_text_keep_their_values() -> None:
    """A type that acsync does not know can be a text."""
    assert NAMELESS_TYPES.isdisjoint({"text", "textarea", "hidden", "NULL", "", None})
