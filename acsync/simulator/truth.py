"""Say what a sync must have stored, from the contract alone and not from the code that syncs."""

from collections.abc import Mapping
from typing import Any

import orjson

from acsync.models import ListingName, Record

Listings = Mapping[ListingName, list[Record]]

SEVERAL = frozenset({"listbox", "checkbox", "multiselect"})
COLUMN_OF_TYPE = {
    "text": "text_value",
    "dropdown": "text_value",
    "radio": "text_value",
    "hidden": "text_value",
    "textarea": "text_blob",
    "date": "date_value",
    "datetime": "datetime_value",
    "number": "number_value",
    "currency": "currency_value",
}
COLUMNS = (
    "text_value", "date_value", "datetime_value", "number_value", "currency_value", "text_blob",
)  # fmt: skip

POINTED_TO: dict[str, tuple[ListingName, str, tuple[str, ...]]] = {
    "pipelineData": ("pipelines", "group", ("id", "title", "currency")),
    "stageData": ("stages", "stage", ("id", "title", "order", "dealOrder", "group")),
    "ownerData": ("users", "owner", ("id", "username", "firstName", "lastName", "email")),
}
"""Key of a deal -> the listing it comes from, the deal's column with its id, what is taken."""


def _as_record(row: Record) -> Record:
    """Give what JSON makes of a row, without the NUL characters that Postgres cannot hold."""
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


def assign_keys(definitions: list[Record], label: str) -> dict[str, str]:
    """Give each field id its key: the first field in id order takes a name that two have."""
    keys: dict[str, str] = {}
    for definition in sorted(definitions, key=lambda one: int(one["id"])):
        field_id = str(definition["id"])
        key = definition[label] or f"field_{field_id}"
        while key in keys.values():
            key = f"{key}_{field_id}"
        keys[field_id] = key
    return keys


def enrich_contact(row: Record, values: list[Record], listings: Listings) -> Record:
    """Give a contact with its `customFields`."""
    definitions = {str(one["id"]): one for one in listings["contact_fields"]}
    keys = assign_keys(listings["contact_fields"], "perstag")
    custom: Record = {}
    for value in values:
        field_id = str(value["field"])
        field = definitions.get(field_id, {})
        entry = {
            "value": value["value"],
            "fieldId": field_id,
            "fieldTitle": field.get("title"),
            "fieldType": field.get("type"),
        }
        custom[_free_key(keys, field_id, custom)] = _with_choices(entry)
    return _as_record({**row, "customFields": custom})


def enrich_deal(row: Record, values: list[Record], listings: Listings) -> Record:
    """Give a deal with its `customFields` and the rows its ids point to."""
    definitions = {str(one["id"]): one for one in listings["deal_fields"]}
    keys = assign_keys(listings["deal_fields"], "fieldLabel")
    custom: Record = {}
    for value in values:
        field_id = str(value.get("custom_field_id", value.get("customFieldId")))
        field = definitions.get(field_id, {})
        entry = {
            "value": _deal_value(value, field.get("fieldType")),
            "fieldId": field_id,
            "fieldLabel": field.get("fieldLabel"),
            "fieldType": field.get("fieldType"),
        }
        custom[_free_key(keys, field_id, custom)] = _with_choices(entry)
    pointed_to = {
        key: _pick(listings[name], row.get(column), wanted)
        for key, (name, column, wanted) in POINTED_TO.items()
    }
    return _as_record({**row, "customFields": custom, **pointed_to})


def _free_key(keys: dict[str, str], field_id: str, custom: Record) -> str:
    """Give the key of a field, also of one that is not defined (any more), even twice."""
    key = keys.get(field_id, f"field_{field_id}")
    taken = {*custom} if field_id in keys else {*custom, *keys.values()}
    while key in taken:
        key = f"{key}_{field_id}"
    return key


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
    found = (value[f"custom_field_{column}"] for column in columns)
    return next((one for one in found if one is not None), None)


def _pick(listing: list[Record], row_id: str | None, wanted: tuple[str, ...]) -> Record | None:
    for row in listing:
        if row_id is not None and str(row["id"]) == str(row_id):
            return {name: row[name] for name in wanted}
    return None
