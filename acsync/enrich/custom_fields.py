"""Name custom field values, which have only the id of their field."""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from acsync.datasets import DATASETS, DatasetName, Record, as_list, id_order, pick
from acsync.enrich.encoding import Cleaner

# The keys of a definition with its key, title and type.
DEFINITION_KEYS: dict[DatasetName, tuple[str, str, str]] = {
    "contacts": ("perstag", "title", "type"),
    "deals": ("fieldLabel", "fieldLabel", "fieldType"),
}

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
CONTACT_ID, DEAL_ID = DATASETS["contacts"].owner_keys, DATASETS["deals"].owner_keys
DEAL_FIELD_ID = (
    "custom_field_id",
    "customFieldId",
    "dealCustomFieldMetum",
    "dealCustomFieldMetumId",
)

# The column of `include=dealCustomFieldData` for each type, as seven code bases read it. Other
# types are text. If the column of its type is empty, a value is in the first filled column.
COLUMN_OF_TYPE = {
    "date": "custom_field_date_value",
    "datetime": "custom_field_datetime_value",
    "number": "custom_field_number_value",
    "currency": "custom_field_currency_value",
    "textarea": "custom_field_text_blob",
}


def free_key(key: str, field_id: str, taken: Container[str]) -> str:
    """Return `key`, followed by the field's id as often as needed to make it unique."""
    while key in taken:
        key = f"{key}_{field_id}"
    return key


def catalogue_fields(
    definitions: Sequence[Record], key: str, label: str, kind: str
) -> pd.DataFrame:
    """Return a frame of `field_id, key, label, kind` with unique keys, in the order of the ids."""
    by_id = {str(definition["id"]): definition for definition in definitions}
    rows = [
        (field_id, name, by_id[field_id].get(label), by_id[field_id].get(kind))
        for field_id, name in name_fields(definitions, key).items()
    ]
    return pd.DataFrame(rows, columns=["field_id", "key", "label", "kind"], dtype=object)


def name_fields(definitions: Sequence[Record], key: str) -> dict[str, str]:
    """Return unique keys by field id, in the order of the ids.

    This order makes keys stable, even if the API lists fields in another order. Keys are cleaned
    before they are compared: two that differ only by a NUL would become one.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for definition in sorted(definitions, key=lambda row: int(row["id"])):
        field_id = str(definition["id"])
        name = Cleaner().clean_text(str(definition.get(key) or "")) or f"field_{field_id}"
        names[field_id] = free_key(name, field_id, taken)
        taken.add(names[field_id])
    return names


class FieldValue(NamedTuple):
    """One value of a custom field, with the ids of its record and its field."""

    value_id: str
    record_id: str
    field_id: str | None
    value: Any
    currency: Any = None


def contact_values(rows: Iterable[Record]) -> list[FieldValue]:
    """Return the values of `fieldValues`, in the order of their ids."""
    return _sort(
        (row.get("id"), pick(row, *CONTACT_ID), pick(row, "field"), row.get("value"))
        for row in rows
    )


def deal_values(rows: Iterable[Record], kinds: Mapping[str, str]) -> list[FieldValue]:
    """Return the values of `dealCustomFieldData`; `kinds` are the types by field id.

    Its rows have typed columns in snake_case, or one `fieldValue` in camelCase.
    """

    def cells(row: Record) -> tuple[Any, ...]:
        field_id = pick(row, *DEAL_FIELD_ID)
        value = _typed_value(row, COLUMN_OF_TYPE.get(kinds.get(str(field_id), "")))
        currency = pick(row, "custom_field_currency_type", "fieldCurrency")
        return row.get("id"), pick(row, *DEAL_ID), field_id, value, currency

    return _sort(map(cells, rows))


def _typed_value(row: Record, column: str | None) -> Any:
    """Return the value of the type's column, or the first value that is not empty.

    A date or a number can come with an empty text in the text column (five clients skip it).
    """
    empty = None
    for name in (column, *DEAL_VALUE_COLUMNS) if column else DEAL_VALUE_COLUMNS:
        if (cell := row.get(name)) is None:
            continue
        # A text of NULs only is stored as an empty text.
        if not isinstance(cell, str) or cell.strip("\x00"):
            return cell
        empty = cell if empty is None else empty
    return empty


def _sort(rows: Iterable[tuple[Any, ...]]) -> list[FieldValue]:
    """Sort values by their ids: the API's order may change, but keys must not."""
    values = [
        FieldValue(
            str(value_id), str(record_id), None if field_id is None else str(field_id), *rest
        )
        for value_id, record_id, field_id, *rest in rows
    ]
    values.sort(key=lambda value: id_order(value.value_id))
    return values


class Catalogue:
    """The custom fields of a dataset, in a frame of `field_id, key, label, kind`.

    `label_name` is the key of the field's label in each stored value.
    """

    def __init__(self, frame: pd.DataFrame, label_name: str) -> None:
        self.frame = frame
        self.kinds = dict(zip(frame["field_id"], frame["kind"].map(str), strict=True))
        self._ids = pd.Index(frame["field_id"], dtype=object)
        self._fields = [
            (str(row.key), {"fieldId": row.field_id, label_name: row.label, "fieldType": row.kind})
            for row in frame.itertuples(index=False)
        ]
        self._reserved = {key for key, _ in self._fields}
        self._label_name = label_name

    def join(self, values: Sequence[FieldValue]) -> dict[str, dict[str, Record]]:
        """Return the `customFields` of each record, by record id.

        A value of an undefined field is named by the id of its field, or by its own id if it has
        no field.
        """
        # A merge of two frames takes ten times as long for one page.
        field_ids = pd.Index([value.field_id for value in values], dtype=object)
        places = self._ids.get_indexer(field_ids).tolist()
        fields: dict[str, dict[str, Record]] = {}
        for value, place in zip(values, places, strict=True):
            record_fields = fields.setdefault(value.record_id, {})
            known_by = value.field_id or value.value_id
            is_defined = place >= 0
            key, field = self._fields[place] if is_defined else self._undefined(value, known_by)
            reserved = set() if is_defined else self._reserved
            key = free_key(key, known_by, record_fields.keys() | reserved)
            entry = {"value": value.value, **field, **_extras(field["fieldType"], value)}
            record_fields[key] = entry
        return fields

    def _undefined(self, value: FieldValue, known_by: str) -> tuple[str, Record]:
        field = {"fieldId": value.field_id, self._label_name: None, "fieldType": None}
        return f"field_{known_by}", field


def _extras(kind: object, value: FieldValue) -> Record:
    """Return the keys that only some types have: a currency, or the list of choices."""
    if kind == "currency":
        return {"currency": None if value.currency is None else str(value.currency).lower()}
    return {"values": split_choices(value.value)} if str(kind) in MULTIPLE_CHOICE else {}


def split_choices(value: Any) -> list[Any]:
    """Return the choices of `||one||two||`, of a list, or of a plain string."""
    if (choices := as_list(value)) is not None:
        return choices
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        return [value]
    # A choice of NULs only would be stored as an empty text.
    return [choice for choice in str(value).split("||") if choice.strip("\x00")]
