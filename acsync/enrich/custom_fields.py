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
    """Return a frame of `record_id, field_id, value` from `fieldValues`."""
    return _values_frame(
        (pick(row, "contact", "owner"), pick(row, "field"), row.get("value")) for row in rows
    )


def deal_values(rows: Sequence[Record], catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of `record_id, field_id, value` from `dealCustomFieldData`.

    Its rows come with typed columns in snake_case, or with one `fieldValue` in camelCase.
    """
    frame = _values_frame(
        (
            pick(row, "deal_id", "dealId", "deal"),
            pick(
                row,
                "custom_field_id",
                "customFieldId",
                "dealCustomFieldMetum",
                "dealCustomFieldMetumId",
            ),
            [row.get(column) for column in DEAL_VALUE_COLUMNS],
        )
        for row in rows
    )
    kinds = catalogue.set_index("field_id")["kind"].map(str)  # a list would not be hashable
    columns = frame["field_id"].map(kinds.map(COLUMN_OF_TYPE))
    chosen = [
        _typed_value(cells, column) for cells, column in zip(frame["value"], columns, strict=True)
    ]
    # A plain list of strings and None would become pandas' str column, with NaN for None.
    frame["value"] = pd.Series(chosen, index=frame.index, dtype=object)
    return frame


def _typed_value(cells: list[Any], column: Any) -> Any:
    row = dict(zip(DEAL_VALUE_COLUMNS, cells, strict=True))
    preferred = (column,) if isinstance(column, str) else ()
    return pick(row, *preferred, *DEAL_VALUE_COLUMNS)


def _values_frame(rows: Iterable[tuple[Any, Any, Any]]) -> pd.DataFrame:
    cells = [(str(record), str(field), value) for record, field, value in rows]
    return pd.DataFrame(cells, columns=["record_id", "field_id", "value"], dtype=object)


def join_fields(
    values: pd.DataFrame, catalogue: pd.DataFrame, label_name: str
) -> dict[str, dict[str, Record]]:
    """Return the `customFields` of each record id; an undefined field is kept by its id."""
    joined = values.merge(catalogue, on="field_id", how="left", indicator="defined")
    reserved = set(catalogue["key"])
    fields: dict[str, dict[str, Record]] = {}
    for row in joined.itertuples(index=False):
        defined = row.defined == "both"
        entry: Record = {
            "value": row.value,
            "fieldId": row.field_id,
            label_name: row.label if defined else None,
            "fieldType": row.kind if defined else None,
        }
        if str(entry["fieldType"]) in MULTIPLE_CHOICE:
            entry["values"] = split_choices(row.value)
        own = fields.setdefault(str(row.record_id), {})
        key = str(row.key) if defined else f"field_{row.field_id}"
        taken = own.keys() if defined else own.keys() | reserved
        own[free_key(key, str(row.field_id), taken.__contains__)] = entry
    return fields


def split_choices(value: Any) -> list[Any]:
    """Split `||one||two||`; some fields come as a list, some as a plain string."""
    if isinstance(value, list):
        return value
    if value is None or value == "":
        return []
    # A choice that is only NUL would be stored as nothing.
    return [choice for choice in str(value).split("||") if choice.strip("\x00")]
