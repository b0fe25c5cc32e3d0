"""Compute the records that a sync must store, without the code that syncs, and compare."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from acsync.datasets import DatasetName, ListingName, Record
from acsync.simulator.account import Account

Listings: TypeAlias = Mapping[ListingName, list[Record]]
EntryOf: TypeAlias = Callable[[Record, Record], Record]
Conceal: TypeAlias = Callable[[DatasetName, Record], Record]

STATUSES = ("unconfirmed", "active", "unsubscribed", "bounced")
WITH_CHOICES = frozenset({"listbox", "checkbox", "multiselect"})
# The columns of a deal's value, in the order in which acsync searches them.
COLUMNS = (
    "text_value", "date_value", "datetime_value", "number_value", "currency_value", "text_blob",
)  # fmt: skip

# Key of an enriched deal: the listing, the column with the id, and the keys to copy.
REFERENCES: dict[str, tuple[ListingName, str, tuple[str, ...]]] = {
    "pipelineData": ("pipelines", "group", ("id", "title", "currency")),
    "stageData": ("stages", "stage", ("id", "title", "order", "dealOrder", "group")),
    "ownerData": ("users", "owner", ("id", "username", "firstName", "lastName", "email")),
}


@dataclass(frozen=True)
class Comparison:
    """How the copy of a dataset compares with the account; `differing` names up to ten ids."""

    records: int
    missing: int
    invented: int
    differing: tuple[int, ...]

    @property
    def exact(self) -> bool:
        """Return whether the copy equals the account."""
        return not (self.missing or self.invented or self.differing)


def compare(
    account: Account,
    name: DatasetName,
    published: Iterable[tuple[int, Record]],
    conceal: Conceal = lambda _, record: record,
) -> Comparison:
    """Compare the ids and records of a copy with the account as it is now.

    `conceal` returns a record as a copy with privacy rules has it.
    """
    expected_ids = set(account.ids(name))
    ids, differing = [], []
    for record_id, record in published:
        ids.append(record_id)
        if record_id in expected_ids and record != conceal(
            name, expected_record(account, name, record_id)
        ):
            differing.append(record_id)
    copied = len(expected_ids.intersection(ids))
    return Comparison(
        len(ids), len(expected_ids) - copied, len(ids) - copied, tuple(differing[:10])
    )


def expected_record(account: Account, name: DatasetName, record_id: int) -> Record:
    """Return the enriched record that a sync stores if it runs now.

    Raises KeyError if the id does not exist. A masked deal is expected as a stub, as if no sync
    had ever seen it whole.
    """
    row, values = account.record(name, record_id)
    metadata = account.metadata
    # Names of deleted lists, pipelines, stages and users stay; fields lose their definition.
    listings: Listings = {
        name: metadata.listings[name] if name.endswith("_fields") else metadata.ever(name)
        for name in metadata.listings
    }
    if name == "deals":
        return enrich_deal(row, values, listings)
    return enrich_contact(row, values, listings, account.related(record_id))


def assign_keys(fields: list[Record], label: str) -> dict[str, str]:
    """Return the key of each field by its id; of two equal labels the lower id keeps it."""
    keys: dict[str, str] = {}
    for field in sorted(fields, key=lambda field: int(field["id"])):
        field_id = str(field["id"])
        key = field[label] or f"field_{field_id}"
        while key in keys.values():
            key = f"{key}_{field_id}"
        keys[field_id] = key
    return keys


def enrich_contact(
    row: Record, values: list[Record], listings: Listings, related: Mapping[str, list[Record]]
) -> Record:
    """Return a contact with its `customFields`, and with its tags and lists if they are served."""
    custom = _custom_fields(values, listings["contact_fields"], "perstag", _contact_entry)
    relations = _relations(related, listings) if related else {}
    return _as_record({**row, "customFields": custom, **relations})


def _relations(related: Mapping[str, list[Record]], listings: Listings) -> Record:
    names = {listing["id"]: listing["name"] for listing in listings["lists"]}
    return {
        "contactTags": sorted((row["id"] for row in related["contactTags"]), key=int),
        "contactLists": sorted((row["id"] for row in related["contactLists"]), key=int),
        "tags": sorted({tag["tag"] for tag in related["tags"]}),
        "lists": [
            {
                "id": membership["list"],
                "name": names.get(membership["list"]),
                "status": STATUSES[int(membership["status"])],
                "subscribedAt": membership["sdate"],
                "unsubscribedAt": membership["udate"],
            }
            for membership in sorted(related["contactLists"], key=lambda row: int(row["list"]))
        ],
    }


def enrich_deal(row: Record, values: list[Record], listings: Listings) -> Record:
    """Return a deal with its `customFields`, pipeline, stage and owner."""
    custom = _custom_fields(values, listings["deal_fields"], "fieldLabel", _deal_entry)
    referenced = {
        key: _pick(listings[listing], row.get(column), copied_keys)
        for key, (listing, column, copied_keys) in REFERENCES.items()
    }
    return _as_record({**row, "customFields": custom, **referenced})


def _custom_fields(
    values: list[Record], fields: list[Record], label: str, entry_of: EntryOf
) -> Record:
    """Return the entries by their keys, even if a field is unknown or has two values."""
    fields_by_id = {str(field["id"]): field for field in fields}
    keys = assign_keys(fields, label)
    custom: Record = {}
    for value in sorted(values, key=lambda value: int(value["id"])):
        field_id = _field_id(value)
        key = keys.get(field_id, f"field_{field_id}")
        taken = {*custom} if field_id in keys else {*custom, *keys.values()}
        while key in taken:
            key = f"{key}_{field_id}"
        custom[key] = _with_choices(entry_of(value, fields_by_id.get(field_id, {})))
    return custom


def _field_id(value: Record) -> str:
    names = ("field", "custom_field_id", "customFieldId")
    return next(str(value[name]) for name in names if name in value)


def _contact_entry(value: Record, field: Record) -> Record:
    return {
        "value": value["value"],
        "fieldId": _field_id(value),
        "fieldTitle": field.get("title"),
        "fieldType": field.get("type"),
    }


def _deal_entry(value: Record, field: Record) -> Record:
    kind = field.get("fieldType")
    entry = {
        "value": _deal_value(value, kind),
        "fieldId": _field_id(value),
        "fieldLabel": field.get("fieldLabel"),
        "fieldType": kind,
    }
    if kind == "currency":
        code = value.get("custom_field_currency_type") or value.get("fieldCurrency")
        entry["currency"] = code.lower() if code else None
    return entry


def _with_choices(entry: Record) -> Record:
    """Add `values` to a multiple-choice entry."""
    if entry["fieldType"] not in WITH_CHOICES:
        return entry
    value = entry["value"]
    if isinstance(value, str):
        value = [choice for choice in value.split("||") if choice]
    return {**entry, "values": value or []}


def _deal_value(value: Record, kind: str | None) -> Any:
    """Return the value from the column of its type, or from the first that has one."""
    if "fieldValue" in value:
        return value["fieldValue"]
    own_column = "text_blob" if kind == "textarea" else f"{kind}_value"
    columns = sorted(COLUMNS, key=lambda column: column != own_column)
    texts = [value[f"custom_field_{column}"] for column in columns]
    filled = [text for text in texts if text not in (None, "")]
    return filled[0] if filled else "" if "" in texts else None


def _pick(listing: list[Record], row_id: str | None, keys: tuple[str, ...]) -> Record | None:
    row = next((row for row in listing if str(row["id"]) == str(row_id)), None)
    return row and {key: row[key] for key in keys}


def _as_record(row: Record) -> Record:
    """Return the row as JSON holds it, without the NUL characters that Postgres cannot store."""
    return dict(_without_nul(orjson.loads(orjson.dumps(row))))


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
