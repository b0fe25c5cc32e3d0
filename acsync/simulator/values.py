"""Make the value of a custom field from its type, in the form the API gives it."""

from collections.abc import Callable

from acsync.simulator import texts
from acsync.simulator.chance import draw
from acsync.simulator.fields import Field
from acsync.simulator.moments import DAYS, NAIVE, STAMPS, ZERO_DATE

UNKNOWN_FIELD = 9999
"""A field that was deleted while its values stayed."""

MISSING, EMPTY, NULL = range(6), range(6, 10), range(10, 13)
"""How many of a hundred values have no row, are `""`, or are null."""


def choose(choices: tuple[str, ...], bits: int) -> list[str]:
    """Pick at least one of the choices, in their order."""
    chosen = [choice for place, choice in enumerate(choices) if bits >> (8 + place) & 1]
    return chosen or [choices[bits % len(choices)]]


def _several(one: Field, bits: int) -> str:
    return f"||{'||'.join(choose(one.choices, bits))}||"


def _single(one: Field, bits: int) -> str:
    return one.choices[bits % len(one.choices)]


def _text(_: Field, bits: int) -> str:
    return texts.text(bits)


def _long_text(_: Field, bits: int) -> str:
    return f"{texts.text(bits)}.\n{texts.text(draw(bits))}."


def _day(_: Field, bits: int) -> str:
    return DAYS[bits % 8192] if bits % 40 else ZERO_DATE


def _stamp(_: Field, bits: int) -> str:
    return STAMPS[bits % 8192]


def _number(_: Field, bits: int) -> str:
    """Give a number as text; ones no float can hold are among them."""
    return f"{bits % 10_000}.{bits % 7}0" if bits % 30 else f"{bits}.10"


def _cents(_: Field, bits: int) -> str:
    return str(bits % 2_000_000)


MAKERS: dict[str, Callable[[Field, int], str]] = {
    "text": _text,
    "textarea": _long_text,
    "date": _day,
    "datetime": _stamp,
    "dropdown": _single,
    "radio": _single,
    "listbox": _several,
    "checkbox": _several,
    "multiselect": _several,
    "number": _number,
    "currency": _cents,
}


def make_value(one: Field, bits: int) -> str | None:
    """Give a value of the field's type, `""` or None; an unknown type is text."""
    case = draw(bits) % 100
    if case in EMPTY:
        return ""
    if case in NULL:
        return None
    return MAKERS.get(one.type, _text)(one, bits)


def naive_moment(bits: int) -> str:
    """Give a time as the typed columns of deals hold it."""
    return NAIVE[bits % 8192]


class Slots:
    """Which fields a record has values for; up to `count`, some missing, a few dangling."""

    def __init__(self, fields: list[Field], count: int) -> None:
        self.fields = fields
        self.count = min(count, len(fields))
        self.stride = self.count + 1
        self._unknown = Field(UNKNOWN_FIELD, "text")

    def of(self, record: int, bits: int, version: int) -> list[tuple[int, Field, int]]:
        """Give (value id, field, bits) of each; the first slot changes with every version.

        Slot n changes with every n-th version, so that a change leaves most values alone.
        """
        filled = []
        for slot in range(self.count):
            chance = draw(bits, slot)
            if chance % 100 in MISSING:
                continue
            one = self.fields[(bits + slot) % len(self.fields)]
            if chance % 1501 == 0:
                one = self._unknown
            value_id = record * self.stride + slot
            filled.append((value_id, one, draw(chance, version // (slot + 1))))
        return filled
