"""Define the custom fields of an account, with every oddity of such definitions."""

from dataclasses import dataclass, field

from acsync.models import Record
from acsync.simulator.links import Links
from acsync.simulator.moments import NAIVE, STAMPS

CONTACT_TYPES = (
    "text", "textarea", "date", "datetime", "dropdown", "listbox", "checkbox", "number",
    "radio", "hidden", "multiselect", "NULL", "",
)  # fmt: skip
DEAL_TYPES = (
    "text", "textarea", "date", "datetime", "dropdown", "multiselect", "currency", "number",
    "checkbox", "radio", "hidden",
)  # fmt: skip
WITH_OPTIONS = frozenset({"dropdown", "listbox", "checkbox", "radio", "multiselect"})
LABELS = (
    "Company size", "", 'Notes "long" – 100 %', "Größe / Taille", "Plan", "Interests", "Budget",
    "Company size", "Consent's state", "Source", "🎯 Target", "Untyped", "Blank",
)  # fmt: skip
"""The second has neither perstag nor label; the eighth repeats the first."""

CHOICES = (("s", "Small"), ("m", "Medium, mostly"), ("l", "Large"), ("n/a", "Not – applicable"))
"""Value and label; contacts carry the value, deal fields have labels only."""

_FIELD_LINKS = Links("fields", ("options", "relations"))
_OPTION_LINKS = Links("fieldOptions", ("field",))
_DEAL_FIELD_LINKS = Links("dealCustomFieldMeta", ("dealCustomFieldData",))


@dataclass(frozen=True)
class Field:
    """What making a value needs to know of a field."""

    id: int
    type: str
    choices: tuple[str, ...] = field(default=())


def contact_fields(count: int) -> list[Field]:
    """Give the fields of contacts; their ids leave gaps."""
    values = tuple(value for value, _ in CHOICES)
    return [_field(2 * slot + 3, CONTACT_TYPES, slot, values) for slot in range(count)]


def deal_fields(count: int) -> list[Field]:
    """Give the fields of deals; some ids are also those of contact fields."""
    labels = tuple(label for _, label in CHOICES)
    return [_field(3 * slot + 1, DEAL_TYPES, slot, labels) for slot in range(count)]


def _field(field_id: int, types: tuple[str, ...], slot: int, choices: tuple[str, ...]) -> Field:
    kind = types[slot % len(types)]
    return Field(field_id, kind, choices if kind in WITH_OPTIONS else ())


def label(slot: int) -> str:
    """Give the label of the field in this place; later rounds are numbered."""
    text = LABELS[slot % len(LABELS)]
    number = slot // len(LABELS)
    return f"{text} {number + 1}" if number else text


def list_contact_fields(fields: list[Field]) -> list[Record]:
    """Give the rows of `/fields`, the newest first: not in the order of their ids."""
    return [_contact_field_row(slot, fields[slot]) for slot in reversed(range(len(fields)))]


def _contact_field_row(slot: int, contact_field: Field) -> Record:
    title = label(slot)
    options = [str(_option_id(contact_field, n)) for n in range(len(contact_field.choices))]
    return {
        "title": title or "Nameless",
        "descript": None,
        "type": contact_field.type,
        "isrequired": "0",
        "perstag": title.upper().replace(" ", "_"),
        "defval": None if slot % 2 else "",
        "show_in_list": "0",
        "rows": "0",
        "cols": "0",
        "visible": "1",
        "service": "",
        "ordernum": str(slot + 1),
        "cdate": STAMPS[slot],
        "udate": STAMPS[slot],
        "created_timestamp": NAIVE[slot],
        "updated_timestamp": NAIVE[slot],
        "created_by": "1",
        "updated_by": None,
        "options": options,
        "relations": [str(slot + 1)],
        "links": _FIELD_LINKS.of(contact_field.id),
        "id": str(contact_field.id),
    }


def _option_id(contact_field: Field, number: int) -> int:
    return 10 * contact_field.id + number


def list_options(fields: list[Field]) -> list[Record]:
    """Give the options that `/fields` sideloads; value and label differ."""
    return [
        {
            "field": str(choice.id),
            "orderid": str(number + 1),
            "value": value,
            "label": title,
            "isdefault": "0",
            "cdate": None,
            "udate": None,
            "links": _OPTION_LINKS.of(_option_id(choice, number)),
            "id": str(_option_id(choice, number)),
        }
        for choice in fields
        if choice.choices
        for number, (value, title) in enumerate(CHOICES)
    ]


def list_relations(fields: list[Field]) -> list[Record]:
    """Give the lists each field belongs to; `links` is `[]`, PHP's empty object."""
    return [
        {"field": str(one.id), "relid": "0", "dorder": "0", "cdate": STAMPS[slot], "links": [],
         "id": str(slot + 1)}
        for slot, one in enumerate(fields)
    ]  # fmt: skip


def list_deal_fields(fields: list[Field]) -> list[Record]:
    """Give the rows of `/dealCustomFieldMeta`, the newest first."""
    return [_deal_field_row(slot, fields[slot]) for slot in reversed(range(len(fields)))]


def _deal_field_row(slot: int, deal_field: Field) -> Record:
    stamp = STAMPS[slot][:-6] + "+00:00"
    return {
        "id": str(deal_field.id),
        "fieldLabel": label(slot),
        "fieldType": deal_field.type,
        "fieldOptions": list(deal_field.choices) or None,
        "fieldDefault": None,
        "fieldDefaultCurrency": "usd" if deal_field.type == "currency" else None,
        "isFormVisible": slot % 2,
        "isRequired": 0,
        "displayOrder": slot if slot else -1,
        "personalization": f"DEAL_FIELD_{deal_field.id}",
        "knownFieldId": 13 if slot == 2 else None,
        "hideFieldFlag": 0,
        "createdTimestamp": stamp,
        "updatedTimestamp": stamp,
        "links": _DEAL_FIELD_LINKS.of(deal_field.id),
    }
