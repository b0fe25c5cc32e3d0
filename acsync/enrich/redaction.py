"""Remove what can name a forgotten person from a deal."""

from acsync.datasets import Record
from acsync.forgotten import Forgotten

# Marks a deal whose contact is forgotten. Later stubs of the deal have no contact.
REDACTED = "isContactForgotten"

# The id of the person, and texts that people write about it.
NAMING_KEYS = ("contact", "title", "description")

# Custom fields of these types cannot name a person. Others are texts.
NAMELESS_TYPES = frozenset(
    (
        *("date", "datetime", "number", "currency"),
        *("dropdown", "radio", "listbox", "checkbox", "multiselect"),
    )
)


def redact_forgotten(deal: Record, row: Record, forgotten: Forgotten) -> Record:
    """Return the deal of a row, redacted if its contact is forgotten."""
    return redact(deal) if forgotten.find("contact", row.get("contact")) else deal


def is_redacted(deal: Record) -> bool:
    """Return whether a deal was redacted."""
    return bool(deal.get(REDACTED))


def redact(deal: Record) -> Record:
    """Return a deal with nulls in place of its contact, its texts, and its custom texts."""
    redacted = {**deal, **{key: None for key in NAMING_KEYS if key in deal}, REDACTED: True}
    if fields := deal.get("customFields"):
        redacted["customFields"] = {
            key: field if field.get("fieldType") in NAMELESS_TYPES else {**field, "value": None}
            for key, field in fields.items()
        }
    return redacted
