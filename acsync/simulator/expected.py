"""Compute what a sync must have stored, from the contract alone: not with the code that syncs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from acsync.models import DatasetName, ListingName, Record
from acsync.simulator.account import Account

Listings = Mapping[ListingName, list[Record]]

SEVERAL = frozenset({"listbox", "checkbox", "multiselect"})
# Where `include=dealCustomFieldData` puts a value; every other type is text.
COLUMN_OF_TYPE = {
    "textarea": "text_blob",
    "date": "date_value",
    "datetime": "datetime_value",
    "number": "number_value",
    "currency": "currency_value",
}
# In this order they are searched for a value that is not where its type says.
COLUMNS = (
    "text_value", "date_value", "datetime_value", "number_value", "currency_value", "text_blob",
)  # fmt: skip

# Key of a deal -> the listing it comes from, the deal's column with its id, what is taken.
POINTED_TO: dict[str, tuple[ListingName, str, tuple[str, ...]]] = {
    "pipelineData": ("pipelines", "group", ("id", "title", "currency")),
    "stageData": ("stages", "stage", ("id", "title", "order", "dealOrder", "group")),
    "ownerData": ("users", "owner", ("id", "username", "firstName", "lastName", "email")),
}


def assign_keys(definitions: list[Record], label: str) -> dict[str, str]:
    """Return each field id its key: the first field in id order takes a name that two have."""
    keys: dict[str, str] = {}
    for definition in sorted(definitions, key=lambda one: int(one["id"])):
        field_id = str(definition["id"])
        key = definition[label] or f"field_{field_id}"
        while key in keys.values():
            key = f"{key}_{field_id}"
        keys[field_id] = key
    return keys


def enrich_contact(
    row: Record, values: list[Record], listings: Listings, related: Mapping[str, list[Record]]
) -> Record:
    """Return a contact with its `customFields`, and with tags and lists where these are served."""
    fields = {str(one["id"]): one for one in listings["contact_fields"]}
    values = sorted(values, key=lambda value: int(value["id"]))
    entries = [_contact_entry(value, fields.get(str(value["field"]), {})) for value in values]
    keys = assign_keys(listings["contact_fields"], "perstag")
    relations = _relations(related, listings) if related else {}
    return _as_record({**row, "customFields": _by_key(entries, keys), **relations})


def _relations(related: Mapping[str, list[Record]], listings: Listings) -> Record:
    names = {one["id"]: one["name"] for one in listings["lists"]}
    memberships = sorted(related["contactLists"], key=lambda one: int(one["list"]))
    words = ["unconfirmed", "active", "unsubscribed", "bounced"]
    return {
        "contactTags": sorted((one["id"] for one in related["contactTags"]), key=int),
        "contactLists": sorted((one["id"] for one in related["contactLists"]), key=int),
        "tags": sorted({one["tag"] for one in related["tags"]}),
        "lists": [
            {
                "id": one["list"],
                "name": names.get(one["list"]),
                "status": words[int(one["status"])],
                "subscribedAt": one["sdate"],
                "unsubscribedAt": one["udate"],
            }
            for one in memberships
        ],
    }


def enrich_deal(row: Record, values: list[Record], listings: Listings) -> Record:
    """Return a deal with its `customFields` and the rows its ids point to."""
    fields = {str(one["id"]): one for one in listings["deal_fields"]}
    values = sorted(values, key=lambda value: int(value["id"]))
    entries = [_deal_entry(value, fields.get(_deal_field_id(value), {})) for value in values]
    keys = assign_keys(listings["deal_fields"], "fieldLabel")
    pointed_to = {
        key: _pick(listings[name], row.get(column), wanted)
        for key, (name, column, wanted) in POINTED_TO.items()
    }
    return _as_record({**row, "customFields": _by_key(entries, keys), **pointed_to})


def _contact_entry(value: Record, field: Record) -> Record:
    return {
        "value": value["value"],
        "fieldId": str(value["field"]),
        "fieldTitle": field.get("title"),
        "fieldType": field.get("type"),
    }


def _deal_entry(value: Record, field: Record) -> Record:
    return {
        "value": _deal_value(value, field.get("fieldType")),
        "fieldId": _deal_field_id(value),
        "fieldLabel": field.get("fieldLabel"),
        "fieldType": field.get("fieldType"),
    } | _currency(value, field)


def _currency(value: Record, field: Record) -> Record:
    """Return the code that a currency field carries, in lower case."""
    if field.get("fieldType") != "currency":
        return {}
    code = value.get("custom_field_currency_type") or value.get("fieldCurrency")
    return {"currency": code.lower() if code else None}


def _deal_field_id(value: Record) -> str:
    return str(value.get("custom_field_id", value.get("customFieldId")))


def _by_key(entries: list[Record], keys: dict[str, str]) -> Record:
    """Return the entries by their keys, also where a field is not defined (any more) or twice."""
    custom: Record = {}
    for entry in entries:
        field_id = entry["fieldId"]
        key = keys.get(field_id, f"field_{field_id}")
        taken = {*custom} if field_id in keys else {*custom, *keys.values()}
        while key in taken:
            key = f"{key}_{field_id}"
        custom[key] = _with_choices(entry)
    return custom


def _with_choices(entry: Record) -> Record:
    """Add `values` to a multiple-choice entry."""
    kind = entry.get("fieldType")
    if kind not in SEVERAL:
        return entry
    value = entry["value"]
    if isinstance(value, str):
        value = [choice for choice in value.split("||") if choice]
    return {**entry, "values": value or []}


def _deal_value(value: Record, kind: str | None) -> Any:
    if "fieldValue" in value:
        return value["fieldValue"]
    own = COLUMN_OF_TYPE.get(kind or "")
    columns = (own, *COLUMNS) if own else COLUMNS
    found = [value[f"custom_field_{column}"] for column in columns]
    if filled := [one for one in found if one not in (None, "")]:
        return filled[0]
    return "" if "" in found else None


def _pick(listing: list[Record], row_id: str | None, wanted: tuple[str, ...]) -> Record | None:
    for row in listing:
        if row_id is not None and str(row["id"]) == str(row_id):
            return {name: row[name] for name in wanted}
    return None


def _as_record(row: Record) -> Record:
    """Return what JSON makes of a row, without the NUL characters that Postgres cannot hold."""
    record: Record = _without_nul(orjson.loads(orjson.dumps(row)))
    return record


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(one) for key, one in value.items()}
    return value


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
    account: Account, name: DatasetName, published: Iterable[tuple[int, Record]]
) -> Comparison:
    """Compare the ids and records of a copy with the account as it is now."""
    expected_ids = set(account.ids(name))
    ids, differing = [], []
    for record_id, record in published:
        ids.append(record_id)
        if record_id in expected_ids and record != expected_record(account, name, record_id):
            differing.append(record_id)
    right = len(expected_ids.intersection(ids))
    return Comparison(len(ids), len(expected_ids) - right, len(ids) - right, tuple(differing[:10]))


def expected_record(account: Account, name: DatasetName, record_id: int) -> Record:
    """Return the enriched record that a sync stores if it runs now.

    Raises KeyError if the id does not exist. A masked deal is expected as a stub, as if no sync
    had seen it whole.
    """
    row, values = account.record(name, record_id)
    listings = account.metadata.listings
    if name == "deals":
        return enrich_deal(row, values, listings)
    related = account.related(record_id) if account.options.relations == "served" else {}
    return enrich_contact(row, values, listings, related)
