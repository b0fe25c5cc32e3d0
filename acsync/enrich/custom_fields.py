"""Name custom field values: a value knows only the id of its field."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from acsync.datasets import DATASETS, Record
from acsync.enrich.encoding import Cleaner
from acsync.models import as_list

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
    for name in names:
        if (value := row.get(name)) is not None:
            return value
    return None


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


class FieldValue(NamedTuple):
    """One value of a custom field, whose record and field are known by their ids."""

    value_id: str
    record_id: str
    field_id: str | None
    value: Any
    currency: Any = None


def contact_values(rows: Iterable[Record]) -> list[FieldValue]:
    """Return the values of `fieldValues`, sorted."""
    return _sort(
        (row.get("id"), pick(row, *CONTACT_ID), pick(row, "field"), row.get("value"))
        for row in rows
    )


def deal_values(rows: Iterable[Record], kinds: Mapping[str, str]) -> list[FieldValue]:
    """Return those of `dealCustomFieldData`, with the currency of each; `kinds` are by field id.

    Its rows come with typed columns in snake_case, or with one `fieldValue` in camelCase.
    """

    def cells(row: Record) -> tuple[Any, ...]:
        field_id = pick(row, *DEAL_FIELD_ID)
        value = _typed_value(row, COLUMN_OF_TYPE.get(kinds.get(str(field_id), "")))
        currency = pick(row, "custom_field_currency_type", "fieldCurrency")
        return row.get("id"), pick(row, *DEAL_ID), field_id, value, currency

    return _sort(map(cells, rows))


def _typed_value(row: Record, column: str | None) -> Any:
    """Return what is in the type's column, else the first value that is not empty.

    An empty text may stand beside the filled column of a date or a number (five clients skip it).
    """
    empty = None
    for name in (column, *DEAL_VALUE_COLUMNS) if column else DEAL_VALUE_COLUMNS:
        if (cell := row.get(name)) is None:
            continue
        # A text that is only NUL is stored as an empty one.
        if not isinstance(cell, str) or cell.strip("\x00"):
            return cell
        empty = cell if empty is None else empty
    return empty


def _sort(rows: Iterable[tuple[Any, ...]]) -> list[FieldValue]:
    """Sort by the values' own ids: the API's order may change, and keys must not."""
    values = [
        FieldValue(
            str(value_id), str(record_id), None if field_id is None else str(field_id), *rest
        )
        for value_id, record_id, field_id, *rest in rows
    ]
    values.sort(key=lambda one: (len(one.value_id), one.value_id))
    return values


class Catalogue:
    """The custom fields of a dataset, in a frame of `field_id, key, label, kind`.

    `label_name` is the key under which each value carries its field's label.
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
        """Return the `customFields` of each record id; an undefined field is kept by its id.

        A value that names no field is kept by its own id.
        """
        # A merge of two frames takes ten times as long for a page.
        places = self._ids.get_indexer(pd.Index([one.field_id for one in values], dtype=object))
        fields: dict[str, dict[str, Record]] = {}
        for one, place in zip(values, places.tolist(), strict=True):
            own = fields.setdefault(one.record_id, {})
            known_by = one.field_id or one.value_id
            key, field = self._fields[place] if place >= 0 else self._undefined(one, known_by)
            taken = own.keys() if place >= 0 else own.keys() | self._reserved
            key = free_key(key, known_by, taken.__contains__)
            own[key] = {"value": one.value, **field, **_extras(field["fieldType"], one)}
        return fields

    def _undefined(self, value: FieldValue, known_by: str) -> tuple[str, Record]:
        named = {"fieldId": value.field_id, self._label_name: None, "fieldType": None}
        return f"field_{known_by}", named


def _extras(kind: object, value: FieldValue) -> Record:
    """Return what only some types carry: choices one by one, and a currency."""
    if kind == "currency":
        return {"currency": None if value.currency is None else str(value.currency).lower()}
    return {"values": split_choices(value.value)} if str(kind) in MULTIPLE_CHOICE else {}


def split_choices(value: Any) -> list[Any]:
    """Split `||one||two||`; some fields come as a list, some as a plain string."""
    if (choices := as_list(value)) is not None:
        return choices
    if value is None or value == "":
        return []
    if isinstance(value, dict):
        return [value]
    # A choice that is only NUL would be stored as nothing.
    return [choice for choice in str(value).split("||") if choice.strip("\x00")]
