"""Name custom field values: a value knows only the id of its field."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from acsync.enrich.encoding import Cleaner
from acsync.models import Record

MULTIPLE_CHOICE = frozenset({"listbox", "checkbox", "multiselect"})

DEAL_VALUE_COLUMNS = (
    "fieldValue",  # the one column of the camelCase form
    "custom_field_text_value",
    "custom_field_date_value",
    "custom_field_datetime_value",
    "custom_field_number_value",
    "custom_field_currency_value",
    "custom_field_text_blob",
)
DEAL_ID = ("deal_id", "dealId", "deal")
DEAL_FIELD_ID = (
    "custom_field_id",
    "customFieldId",
    "dealCustomFieldMetum",
    "dealCustomFieldMetumId",
)

# Where `include=dealCustomFieldData` puts a value, as seven code bases read it; other types are
# text. What is not where its type says stands in the first filled column.
COLUMN_OF_TYPE = {
    "date": "custom_field_date_value",
    "datetime": "custom_field_datetime_value",
    "number": "custom_field_number_value",
    "currency": "custom_field_currency_value",
    "textarea": "custom_field_text_blob",
}


def pick(row: Record, *names: str) -> Any:
    """Return the first of the keys that is there and not null; both spellings are in use."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def free_key(key: str, field_id: str, taken: Callable[[str], bool]) -> str:
    """Return `key`, with the field's id behind it as often as it takes to be free."""
    while taken(key):
        key = f"{key}_{field_id}"
    return key


def catalogue_fields(
    definitions: Sequence[Record], key: str, label: str, kind: str
) -> pd.DataFrame:
    """Return a frame of `field_id, key, label, kind`, keys unique, in the order of the ids.

    With that order a key is the same at every sync, in whatever order the API lists fields. Keys
    are cleaned before they are compared: two that differ only by a NUL would become one.
    """
    rows: list[tuple[str, str, object, object]] = []
    taken: set[str] = set()
    for definition in sorted(definitions, key=lambda row: int(row["id"])):
        field_id = str(definition["id"])
        name = Cleaner().clean_text(str(definition.get(key) or "")) or f"field_{field_id}"
        name = free_key(name, field_id, taken.__contains__)
        taken.add(name)
        rows.append((field_id, name, definition.get(label), definition.get(kind)))
    return pd.DataFrame(rows, columns=["field_id", "key", "label", "kind"], dtype=object)


def contact_values(rows: Iterable[Record]) -> pd.DataFrame:
    """Return a frame of `value_id, record_id, field_id, value` from `fieldValues`."""
    return _values_frame(
        (row.get("id"), pick(row, "contact", "owner"), pick(row, "field"), row.get("value"), None)
        for row in rows
    )


def deal_values(rows: Iterable[Record], catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return the same from `dealCustomFieldData`, with the `currency` of each value.

    Its rows come with typed columns in snake_case, or with one `fieldValue` in camelCase.
    """
    kinds = dict(zip(catalogue["field_id"], catalogue["kind"].map(str), strict=True))

    def cells(row: Record) -> tuple[Any, ...]:
        field_id = pick(row, *DEAL_FIELD_ID)
        value = _typed_value(row, COLUMN_OF_TYPE.get(kinds.get(str(field_id), "")))
        currency = pick(row, "custom_field_currency_type", "fieldCurrency")
        return row.get("id"), pick(row, *DEAL_ID), field_id, value, currency

    return _values_frame(map(cells, rows))


def _typed_value(row: Record, column: str | None) -> Any:
    """Return what is in the type's column, else the first value that is not empty.

    An empty text may stand beside the filled column of a date or a number (five clients skip it).
    """
    cells = [row.get(name) for name in ((column,) if column else ()) + DEAL_VALUE_COLUMNS]
    # A text that is only NUL is stored as an empty one.
    texts = [cell for cell in cells if isinstance(cell, str) and not cell.strip("\x00")]
    filled = (cell for cell in cells if cell is not None and cell not in texts)
    return next(filled, texts[0] if texts else None)


def _values_frame(rows: Iterable[tuple[Any, ...]]) -> pd.DataFrame:
    """Sort by the values' own ids: the API's order may change, and keys must not."""
    cells = [
        (str(value_id), str(record_id), None if field_id is None else str(field_id), *rest)
        for value_id, record_id, field_id, *rest in rows
    ]
    cells.sort(key=lambda row: (len(row[0]), row[0]))
    columns = ["value_id", "record_id", "field_id", "value", "currency"]
    return pd.DataFrame(cells, columns=columns, dtype=object)


def join_fields(
    values: pd.DataFrame, catalogue: pd.DataFrame, label_name: str
) -> dict[str, dict[str, Record]]:
    """Return the `customFields` of each record id; an undefined field is kept by its id.

    A value that names no field is kept by its own id.
    """
    joined = values.merge(catalogue, on="field_id", how="left", indicator="defined")
    reserved = set(catalogue["key"])
    fields: dict[str, dict[str, Record]] = {}
    for row in joined.itertuples(index=False):
        defined = row.defined == "both"
        own = fields.setdefault(str(row.record_id), {})
        known_by = str(row.field_id or row.value_id)
        key = str(row.key) if defined else f"field_{known_by}"
        taken = own.keys() if defined else own.keys() | reserved
        own[free_key(key, known_by, taken.__contains__)] = {
            "value": row.value,
            "fieldId": row.field_id,
            label_name: row.label if defined else None,
            "fieldType": row.kind if defined else None,
            **_extras(row.kind if defined else None, row),
        }
    return fields


def _extras(kind: object, row: Any) -> Record:
    """Return what only some types carry: choices one by one, and a currency."""
    if str(kind) in MULTIPLE_CHOICE:
        return {"values": split_choices(row.value)}
    if kind == "currency":
        return {"currency": None if row.currency is None else str(row.currency).lower()}
    return {}


def split_choices(value: Any) -> list[Any]:
    """Split `||one||two||`; some fields come as a list, some as a plain string."""
    if isinstance(value, list):
        return value
    if value is None or value == "":
        return []
    # A choice that is only NUL would be stored as nothing.
    return [choice for choice in str(value).split("||") if choice.strip("\x00")]
