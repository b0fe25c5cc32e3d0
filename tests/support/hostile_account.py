"""Let an account send texts, dates and JSON that break programs, and record what it sent."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import orjson

from acsync.datasets import DATASETS, LISTINGS, Record
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Answer, Call

TEXTS = (
    "NUL \x00 and \x00\x00",
    "\x00",
    "half \ud83d of a pair, and \udc00",
    "x" * 100_000,
    "é😀𝄞" * 8_000,
    "NaN",
    "'); DROP TABLE ac_contact_versions; --",
    "<img src=x onerror=alert(1)><!-- </script>",
    "{{ 7 * 7 }} {% raw %} ${x} #{y}",
    "100 % %s %(name)s %% {0} {name}",
    "[red]markup[/] [/nothing] :smile:",
    "\x1b[2J\x1b]0;title\x07 \x9b31m \u202eback\u202c",
    "\\u0000 \\x00 \\N \\. \\",
    "tab\tnew\nline\r\nend\\",
    "👩‍👩‍👧‍👦 \u200b\u2028\ufeff\uffff",
    "\N{REPLACEMENT CHARACTER}",
)
DATES = {
    "2026-03-15T10:00:00+05:30": "2026-03-15T04:30:00+00:00",
    "2026-03-15T10:00:00-03:30": "2026-03-15T13:30:00+00:00",
    "2026-03-15T10:00:00.123456Z": "2026-03-15T10:00:00.123456+00:00",
    "0000-00-00 00:00:00": None,
    "0000-00-00T00:00:00-05:00": None,
    "2026-02-30T10:00:00+00:00": None,
    "2024-02-29T10:00:00+00:00": "2024-02-29T10:00:00+00:00",
    "2025-02-29T10:00:00+00:00": None,
    "2026-04-31T10:00:00+00:00": None,
    "2026-00-10T10:00:00+00:00": None,
    "0000-01-01T10:00:00+00:00": None,
    "9999-12-31T23:59:59+00:00": "9999-12-31T23:59:59+00:00",
    "2026-03-15T25:00:00+00:00": None,
    "2026-03-15T10:00:00+99:99": None,
    "2026-03-15 10:00:00": None,
    "infinity": None,
    "now": None,
    "": None,
    "9" * 50: None,
}
"""Values of `cdate`, and how the views show them."""

ODD = (
    '{"nan":NaN,"minus":-Infinity,"huge":1e400,"beyond":1e200000,"tiny":1e-20000,'
    '"absurd":1e99999999999999999999,"exact":1.10,"least":-9223372036854775808,'
    '"most":18446744073709551615,"long":' + "7" * 5_000 + ',"same":1,"sa\\u0000me":2,'
    '"":{"$":[null,[],{},false]},"deep":' + "[" * 200 + "]" * 200 + ',"same":3}'
)
"""JSON as it is sent. Of the two values of `same`, the last counts."""

ODD_STORED: Record = {
    "nan": "NaN",
    "minus": "-Infinity",
    "huge": 10**400,
    "beyond": "1E+200000",
    "tiny": "1E-20000",
    "absurd": "1e99999999999999999999",
    "exact": Decimal("1.10"),
    "least": -(2**63),
    "most": 2**64 - 1,
    "long": Decimal("7" * 5_000),
    "same": 3,
    "same_": 2,
    "": {"$": [None, [], {}, False]},
    "deep": json.loads("[" * 200 + "]" * 200),
}

SPOILT = frozenset({
    "firstName", "lastName", "phone", "orgname", "title", "description", "value", "perstag",
    "fieldLabel", "custom_field_text_value", "username", "currency", "email",
})  # fmt: skip
PLACEHOLDER = "ODD JSON"


@dataclass
class Sent:
    """The last sent rows by collection and id, and values by collection and record."""

    rows: dict[str, dict[str, Record]] = field(default_factory=dict)
    values: dict[tuple[str, str], list[Record]] = field(default_factory=dict)
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    related: dict[str, dict[str, list[Record]]] = field(default_factory=dict)

    def fault(self) -> Fault:
        """Return a fault that spoils every good answer, and always in the same way."""
        return Fault("hostile", reply=self._reply)

    def _reply(self, call: Call, answer: Answer) -> Answer:
        body = orjson.loads(answer.content())
        datasets = {dataset.path: dataset.sideload for dataset in DATASETS.values()}
        for row in body[call.path]:
            self._spoil_row(call.path, row)
        for value in body.get(datasets.get(call.path, ""), []):
            spoil(value, int(value["id"]))
            owner = str(value.get("deal_id", value.get("dealId", value.get("contact"))))
            kept = self.values.setdefault((call.path, owner), [])
            kept[:] = [other for other in kept if other["id"] != value["id"]] + [value]
        if "contactLists" in body:
            self._keep_related(body)
        content = json.dumps(body).replace(f'"{PLACEHOLDER}"', ODD).encode()
        return replace(answer, data=None, body=content)

    def _keep_related(self, body: Record) -> None:
        """Keep the tags and list memberships of each contact of a page."""
        tags = {tag["id"]: tag for tag in body["tags"]}
        for contact in body["contacts"]:
            related = {
                key: [row for row in body[key] if row["contact"] == contact["id"]]
                for key in ("contactTags", "contactLists")
            }
            named = [tags[row["tag"]] for row in related["contactTags"]]
            self.related[contact["id"]] = related | {"tags": named}

    def _spoil_row(self, path: str, row: Record) -> None:
        number = int(row["id"])
        spoil(row, number)
        if path in {dataset.path for dataset in DATASETS.values()}:
            place = self.places.setdefault((path, number), len(self.places))
            row["cdate"] = list(DATES)[place % len(DATES)]
            row["odd\x00"] = PLACEHOLDER
        self.rows.setdefault(path, {})[row["id"]] = row

    def listings(self) -> dict[Any, list[Record]]:
        """Return the listings as they were sent, cleaned."""
        return {
            name: clean(list(self.rows[listing.path].values()))
            for name, listing in LISTINGS.items()
        }


def spoil(row: Record, number: int) -> None:
    """Put a different hostile text under each key that holds a text."""
    keys = sorted(SPOILT & row.keys())
    row |= {key: TEXTS[(number + place) % len(TEXTS)] for place, key in enumerate(keys)}


def clean(value: Any) -> Any:
    """Return a value as jsonb can hold it: without NULs and half surrogate pairs."""
    if isinstance(value, str):
        whole = value.replace("\x00", "")
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in whole)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a value, with its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
