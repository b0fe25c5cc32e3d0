"""Invent custom fields and the values of records in them, with every oddity of both."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

from acsync.simulator.values import NAIVE, STAMPS, TIMES, ZERO_DATE, draw, load, text

_DATA = load("fields")
CONTACT_TYPES: tuple[str, ...] = tuple(_DATA["contact_types"])
DEAL_TYPES: tuple[str, ...] = tuple(_DATA["deal_types"])
# Value -> label. Contacts carry the value; deal fields know labels only.
CHOICES: dict[str, str] = _DATA["choices"]
# The second is empty: a field without perstag or label. The eighth repeats the first.
LABELS: list[str] = _DATA["labels"]

# Of a hundred values, six have no row, four are "" and three are null.
MISSING, EMPTY, NULL = 6, 4, 3


@dataclass(frozen=True)
class Field:
    """A custom field; `choices` are the values a record may have, where the type has choices."""

    id: int
    type: str
    label: str = ""
    choices: tuple[str, ...] = ()


# A field that was deleted while its values stayed.
UNKNOWN_FIELD = Field(9999, "text")


def make_contact_fields(count: int) -> list[Field]:
    """Return the fields of contacts; their ids leave gaps."""
    return _make_fields(range(3, 2 * count + 3, 2), CONTACT_TYPES, tuple(CHOICES))


def make_deal_fields(count: int) -> list[Field]:
    """Return the fields of deals; some ids are also those of contact fields."""
    return _make_fields(range(1, 3 * count + 1, 3), DEAL_TYPES, tuple(CHOICES.values()))


def _make_fields(ids: range, types: tuple[str, ...], choices: tuple[str, ...]) -> list[Field]:
    return [
        Field(field_id, kind, _label(slot), choices if kind in _DATA["types_with_choices"] else ())
        for slot, (field_id, kind) in enumerate(zip(ids, cycle(types), strict=False))
    ]


def _label(slot: int) -> str:
    """Return the label of the field in this slot; later rounds are numbered."""
    label = LABELS[slot % len(LABELS)]
    number = slot // len(LABELS)
    return f"{label} {number + 1}" if number else label


class Slots:
    """The places for values that a record has: up to `count`, some empty, a few dangling."""

    def __init__(self, fields: list[Field], count: int) -> None:
        self._fields = fields
        self._count = min(count, len(fields))

    def of(self, record: int, bits: int, version: int) -> list[tuple[int, Field, int]]:
        """Return (value id, field, bits) of each value of a version of a record.

        Slot n changes with every n-th version, so that a change leaves most values alone.
        """
        filled = []
        for slot in range(self._count):
            chance = draw(bits, slot)
            if chance % 100 < MISSING:
                continue
            field = self._fields[(bits + slot) % len(self._fields)]
            if chance % 1501 == 0:
                field = UNKNOWN_FIELD
            value_id = record * (self._count + 1) + slot
            filled.append((value_id, field, draw(chance, version // (slot + 1))))
        return filled


def make_value(field: Field, bits: int) -> str | None:
    """Return a value of the field's type, "" or None; an unknown type is text."""
    case = draw(bits) % 100 - MISSING
    if 0 <= case < EMPTY + NULL:
        return "" if case < EMPTY else None
    return _MAKERS.get(field.type, _MAKERS["text"])(field.choices, bits)


def choose(choices: tuple[str, ...], bits: int) -> list[str]:
    """Return at least one of the choices, in their order."""
    chosen = [choice for place, choice in enumerate(choices) if bits >> (8 + place) & 1]
    return chosen or [choices[bits % len(choices)]]


def _one(choices: tuple[str, ...], bits: int) -> str:
    return choices[bits % len(choices)]


def _several(choices: tuple[str, ...], bits: int) -> str:
    return f"||{'||'.join(choose(choices, bits))}||"


_MAKERS: dict[str, Callable[[tuple[str, ...], int], str]] = {
    "text": lambda _, bits: text(bits),
    "textarea": lambda _, bits: f"{text(bits)}.\n{text(draw(bits))}.",
    "date": lambda _, bits: NAIVE[bits % TIMES][:10] if bits % 40 else ZERO_DATE,
    "datetime": lambda _, bits: STAMPS[bits % TIMES],
    "dropdown": _one,
    "radio": _one,
    "listbox": _several,
    "checkbox": _several,
    "multiselect": _several,
    # One number in thirty is larger than a float can hold.
    "number": lambda _, bits: f"{bits % 10_000}.{bits % 7}0" if bits % 30 else f"{bits}.10",
    "currency": lambda _, bits: str(bits % 2_000_000),
}
