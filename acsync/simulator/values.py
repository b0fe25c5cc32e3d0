"""Invent custom fields and values with all their oddities, and fill rows from templates."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import cycle
from typing import Any

import orjson

from acsync.datasets import DatasetName, Record

_FOLDER = files(__package__) / "templates"


class Template:
    """One kind of row: its keys in the API's order, each with a sample or its constant value.

    Links are half the bytes of a row, so they are kept as JSON, split at the id.
    """

    def __init__(self, row: Record) -> None:
        self._row = row
        self._links = orjson.dumps(row["links"]).split(b"{id}")

    def new(self, row_id: int | str) -> Record:
        """Return a new row with this id and its links; lists in it are shared."""
        row = self._row.copy()
        row["id"] = str(row_id)
        row["links"] = orjson.Fragment(row["id"].encode().join(self._links))
        return row


def with_host(links: orjson.Fragment, host: str) -> orjson.Fragment:
    """Return the links of a row with another host."""
    text = orjson.dumps(links)
    return orjson.Fragment(text.replace(b"//account.example/", f"//{host}/".encode()))


def load(name: str) -> Any:
    """Return the content of `templates/<name>.json`."""
    return orjson.loads((_FOLDER / f"{name}.json").read_bytes())


def draw(*numbers: int) -> int:
    """Return up to 63 bits that look random but depend only on the non-negative numbers."""
    # CPython hashes a tuple of ints in 60 ns, and without the salt that strings get per process.
    bits = hash(numbers) & 0x7FFF_FFFF_FFFF_FFFF
    return bits ^ (bits >> 31)


# All times are made once, because a page of 100 records has two thousand of them.
TIMES = 8192
_FIRST = datetime(2021, 1, 4, 8, 15, tzinfo=UTC)


def _with_offset(moment: datetime) -> str:
    """Add the offset of the account's time zone, which differs between summer and winter."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'-05:00' if is_summer(moment) else '-06:00'}"


def is_summer(moment: datetime) -> bool:
    """Return whether the account's time zone has summer time."""
    return (3, 11) <= (moment.month, moment.day) < (11, 4)


def stamp(moment: float) -> str:
    """Return seconds since 1970 as the API writes a time, with the account's offset."""
    utc = datetime.fromtimestamp(moment, UTC)
    hours = -5 if is_summer(utc) else -6
    return f"{utc + timedelta(hours=hours):%Y-%m-%dT%H:%M:%S}-0{-hours}:00"


def start_of_day(text: str) -> str:
    """Return the start of a time's day in the account's time zone, as the API writes it."""
    moment = datetime.fromisoformat(text).timestamp()
    return f"{stamp(moment)[:10]}T00:00:00{stamp(moment)[19:]}"


def in_local_time(text: str) -> str:
    """Return a time as an account reads it that ignores its offset: as local time."""
    return f"{text[:19]}{stamp(datetime.fromisoformat(text).timestamp())[19:]}"


_MOMENTS = [
    _FIRST + timedelta(hours=6 * number, seconds=draw(number) % 20_000) for number in range(TIMES)
]
STAMPS = tuple(_with_offset(moment) for moment in _MOMENTS)
# Local time of the account, as in `created_timestamp` and also in `created_utc_timestamp`.
NAIVE = tuple(f"{moment:%Y-%m-%d %H:%M:%S}" for moment in _MOMENTS)
# The same times in seconds since 1970.
SECONDS = tuple(datetime.fromisoformat(text).timestamp() for text in STAMPS)


def created_and_updated(bits: int, version: int) -> tuple[int, int]:
    """Return the places of both times in the tables; each version has another update time."""
    created = bits % 5000
    return created, (created + bits % 997 + version) % TIMES


_TEXTS: dict[str, list[str]] = load("texts")
FIRST_NAMES, LAST_NAMES = _TEXTS["first_names"], _TEXTS["last_names"]
COMPANIES, WORDS, PHONES = _TEXTS["companies"], _TEXTS["words"], _TEXTS["phones"]
# Each was a bug somewhere.
ODD_TEXTS = _TEXTS["odd_texts"]


def text(bits: int) -> str:
    """Return two words and a number, or in one of 25 cases an odd text."""
    if bits % 25 == 0:
        return ODD_TEXTS[draw(bits) % len(ODD_TEXTS)]
    return f"{WORDS[bits % 16]} {WORDS[(bits >> 8) % 16]} {bits % 9973}"


def name(bits: int, names: list[str]) -> str:
    """Return one of `names`, sometimes an odd text or ""."""
    case = bits % 60
    if case < 3:
        return "" if case else ODD_TEXTS[draw(bits) % len(ODD_TEXTS)]
    return names[(bits >> 8) % len(names)]


def reason(bits: int) -> str | None:
    """Return why somebody unsubscribed: one of a few reasons, an odd text, "" or None."""
    choices = (None, "", *_TEXTS["reasons"], ODD_TEXTS[bits % len(ODD_TEXTS)])
    return choices[draw(bits) % len(choices)]


_DATA = load("fields")
# Labels by value. Contacts have the value; deals have the label.
CHOICES: dict[str, str] = _DATA["choices"]
# The second is empty, for a field without perstag or label. The eighth repeats the first.
LABELS: list[str] = _DATA["labels"]

# Of a hundred values, six have no row, four are "" and three are null.
MISSING, EMPTY, NULL = 6, 4, 3


@dataclass(frozen=True)
class Field:
    """A custom field; `choices` are the possible values if its type has choices."""

    id: int
    type: str
    label: str = ""
    choices: tuple[str, ...] = ()


# This field was deleted, but values of it stayed.
UNKNOWN_FIELD = Field(9999, "text")


def make_fields(dataset: DatasetName, count: int) -> list[Field]:
    """Return custom fields; ids have gaps, and some are those of a contact and of a deal field."""
    types, with_choices = _DATA["types"][dataset], _DATA["types_with_choices"]
    first, step = (3, 2) if dataset == "contacts" else (1, 3)
    choices = tuple(CHOICES) if dataset == "contacts" else tuple(CHOICES.values())
    return [
        Field(first + step * slot, kind, _label(slot), choices if kind in with_choices else ())
        for slot, kind in zip(range(count), cycle(types), strict=False)
    ]


def _label(slot: int) -> str:
    """Return the label of the field in this slot; repeated labels are numbered."""
    label = LABELS[slot % len(LABELS)]
    number = slot // len(LABELS)
    return f"{label} {number + 1}" if number else label


class Slots:
    """The places for values in a record: up to `count`, some empty, a few of a deleted field."""

    def __init__(self, fields: list[Field], count: int) -> None:
        self._fields = fields
        self._count = min(count, len(fields))

    def of(self, record: int, bits: int, version: int) -> list[tuple[int, Field, int]]:
        """Return (value id, field, bits) of each value in a version of a record.

        Slot n changes in every n-th version, so that a change keeps most values.
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
    """Return a value of the field's type, "" or None; unknown types are texts."""
    case = draw(bits) % 100 - MISSING
    if 0 <= case < EMPTY + NULL:
        return "" if case < EMPTY else None
    return _MAKERS.get(field.type, _MAKERS["text"])(field.choices, bits)


def choose(choices: tuple[str, ...], bits: int) -> list[str]:
    """Return at least one of the choices, in their order."""
    chosen = [choice for place, choice in enumerate(choices) if bits >> (8 + place) & 1]
    return chosen or [choices[bits % len(choices)]]


_MAKERS: dict[str, Callable[[tuple[str, ...], int], str]] = {
    "text": lambda _, bits: text(bits),
    "textarea": lambda _, bits: f"{text(bits)}.\n{text(draw(bits))}.",
    "date": lambda _, bits: NAIVE[bits % TIMES][:10] if bits % 40 else "0000-00-00",
    "datetime": lambda _, bits: STAMPS[bits % TIMES],
    **dict.fromkeys(("dropdown", "radio"), lambda choices, bits: choices[bits % len(choices)]),
    **dict.fromkeys(
        ("listbox", "checkbox", "multiselect"),
        lambda choices, bits: f"||{'||'.join(choose(choices, bits))}||",
    ),
    # One number in thirty is larger than a float can hold.
    "number": lambda _, bits: f"{bits % 10_000}.{bits % 7}0" if bits % 30 else f"{bits}.10",
    "currency": lambda _, bits: str(bits % 2_000_000),
}
