"""Store the custom fields and their columns, from which the wide views are made."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection

from acsync.datasets import DatasetName
from acsync.models import CustomField, FieldChange, Sync
from acsync.store.column_names import CURRENCY_SUFFIX, choose_column
from acsync.store.database import run

MAX_COLUMNS = 1_500

# Types are short words. A very long one would not fit into an index row.
MAX_TYPE_CHARACTERS = 100

# The columns of the wide views before those of the custom fields.
BASE_COLUMNS: dict[DatasetName, tuple[str, ...]] = {
    "contacts": (
        *("contact_id", "email", "first_name", "last_name", "phone", "created_at", "updated_at"),
        *("synced_at", "tags", "lists"),
    ),
    "deals": (
        *("deal_id", "title", "value_minor", "value", "currency", "status", "pipeline_id"),
        *("pipeline", "stage_id", "stage", "owner_id", "owner", "contact_id", "created_at"),
        *("updated_at", "is_masked", "synced_at"),
    ),
}

Known: TypeAlias = dict[tuple[str, str], Any]


def record_fields(
    connection: Connection, sync: Sync, name: DatasetName, fields: Sequence[CustomField]
) -> tuple[FieldChange, ...]:
    """Update the stored fields of a dataset; return what changed since the last sync.

    A field keeps its column even if it vanishes or changes its type.
    """
    fields = [replace(field, type=field.type[:MAX_TYPE_CHARACTERS]) for field in fields]
    known = _read(connection, name)
    taken = _taken_names(connection, name, known)
    is_first, changes = not known, list[FieldChange]()
    for field in fields:
        row = known.get((field.field_id, field.type))
        if row is None:
            changes.append(_add(connection, sync, name, field, known, taken))
        elif _differs(row, field):
            run(
                connection,
                """
                update {schema}.ac_field_columns
                set key = :key, title = :title, options = cast(:options as text[]), last_sync = null
                where data_type = :data_type and field_id = :field_id and type = :type
                """,
                name,
                **_values(field),
            )
            kind: Literal["back", "renamed"] = "back" if row.last_sync else "renamed"
            if row.last_sync or row.key != field.key or row.title != field.title:
                changes.append(FieldChange(kind, field, row.column_name))
    changes += _retire(connection, name, known, fields)
    return () if is_first else tuple(changes)


def _read(connection: Connection, name: DatasetName) -> Known:
    sql = "select * from {schema}.ac_field_columns where data_type = :data_type order by position"
    return {(row.field_id, row.type): row for row in run(connection, sql, name)}


def _taken_names(connection: Connection, name: DatasetName, known: Known) -> set[str]:
    """Return the names in use and those that need quotes in a query."""
    reserved = run(connection, "select word from pg_get_keywords() where catcode in ('R', 'T')")
    names = {*BASE_COLUMNS[name], *reserved.scalars()}
    for (_, kind), row in known.items():
        if row.column_name:
            names |= _columns(row.column_name, kind)
    return names


def _columns(column: str, kind: str) -> set[str]:
    return {column, column + CURRENCY_SUFFIX} if kind == "currency" else {column}


def _add(
    connection: Connection,
    sync: Sync,
    name: DatasetName,
    field: CustomField,
    known: Known,
    taken: set[str],
) -> FieldChange:
    """Add a field, or a new type of a field; beyond MAX_COLUMNS it gets no column."""
    is_retyped = any(field_id == field.field_id for field_id, _ in known)
    used = sum(
        len(_columns(row.column_name, kind)) for (_, kind), row in known.items() if row.column_name
    )
    column = None
    if used + 2 <= MAX_COLUMNS:
        column = choose_column(
            field.key, field.field_id, field.type, taken, is_second_type=is_retyped
        )
        taken |= _columns(column, field.type)
    row = run(
        connection,
        """
        insert into {schema}.ac_field_columns
            (data_type, field_id, type, key, title, options, column_name, first_sync)
        values (:data_type, :field_id, :type, :key, :title, cast(:options as text[]), :column_name,
                :sync_id)
        returning *
        """,
        name,
        **_values(field),
        column_name=column,
        sync_id=sync.sync_id,
    ).one()
    known[field.field_id, field.type] = row
    return FieldChange("retyped" if is_retyped else "new", field, column)


def _values(field: CustomField) -> dict[str, Any]:
    return {
        "field_id": field.field_id,
        "type": field.type,
        "key": field.key,
        "title": field.title,
        "options": list(field.options) if field.options else None,
    }


def _differs(row: Any, field: CustomField) -> bool:
    return bool(
        row.last_sync
        or (row.key, row.title, tuple(row.options or ())) != (field.key, field.title, field.options)
    )


def _retire(
    connection: Connection, name: DatasetName, known: Known, fields: Iterable[CustomField]
) -> list[FieldChange]:
    """Record the last sync that listed each field that is now gone."""
    listed = {(field.field_id, field.type) for field in fields}
    gone = [key for key, row in known.items() if key not in listed and not row.last_sync]
    listed_ids = {field_id for field_id, _ in listed}
    for field_id, kind in gone:
        run(
            connection,
            """
            update {schema}.ac_field_columns as field
            set last_sync = coalesce(
                (select sync_id from {schema}.ac_published as published
                 where published.data_type = :data_type order by sync_no desc offset 1 limit 1),
                first_sync)
            where data_type = :data_type and field_id = :field_id and type = :type
            """,
            name,
            field_id=field_id,
            type=kind,
        )
    return [
        FieldChange("vanished", _field_of(known[key]), known[key].column_name)
        for key in gone
        if key[0] not in listed_ids
    ]


def _field_of(row: Any) -> CustomField:
    return CustomField(row.field_id, row.key, row.title, row.type, tuple(row.options or ()))
