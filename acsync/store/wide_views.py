"""Store the custom fields and their columns, and keep the wide views up to date."""

import re
import time
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection

from acsync.datasets import DatasetName
from acsync.errors import LockHeld, StoreError
from acsync.results import CustomField, DatasetResult, FieldChange, Sync
from acsync.store.database import Database, run
from acsync.store.sync_log import add_warning

MAX_COLUMNS = 1_500

# Types are short words. A very long one would not fit into an index row.
MAX_TYPE_CHARACTERS = 100

# The columns of the views that are not of custom fields, so no custom field gets these names.
BASE_COLUMNS: dict[DatasetName, tuple[str, ...]] = {
    "contacts": (
        *("contact_id", "email", "first_name", "last_name", "phone", "created_at", "updated_at"),
        *("synced_at", "tags", "lists", "changed_at"),
    ),
    "deals": (
        *("deal_id", "title", "value_minor", "value", "currency", "status", "pipeline_id"),
        *("pipeline", "stage_id", "stage", "owner_id", "owner", "contact_id", "created_at"),
        *("updated_at", "is_masked", "synced_at", "changed_at", "closed_at"),
    ),
}

MAX_BYTES = 63  # of a name in Postgres
MAX_TYPE_BYTES = 20  # of a type within a name
CURRENCY_SUFFIX = "_currency"

# Tries while a reader locks the view. Each one waits at most 100 ms for the lock.
TRIES, TRY_AGAIN_SECONDS = 4, 1.0

# The type of a datetime field whose values have no offset.
LOCAL_DATETIME = "local datetime"

# Decided by up to 1,000 values that this sync published, and confirmed by all values.
LOCAL_FIELDS = """
    select field_id from unnest(cast(:ids as text[])) as field_id
    where exists (
        select from (
            select field_values ->> field_id as value from {versions}
            where valid_from = :sync_no and field_values ? field_id limit 1000
        ) as new where {schema}.ac_local_timestamp(value) is not null
    ) and not exists (
        select from {versions}
        where valid_to is null and {schema}.ac_timestamptz(field_values ->> field_id) is not null
    )
"""

Known: TypeAlias = dict[tuple[str, str], Any]


def record_fields(
    connection: Connection, sync: Sync, name: DatasetName, fields: Sequence[CustomField]
) -> tuple[FieldChange, ...]:
    """Update the stored fields of a dataset; return what changed since the last sync.

    A field keeps its column even if it vanishes or changes its type.
    """
    fields = [replace(field, type=field.type[:MAX_TYPE_CHARACTERS]) for field in fields]
    known = _read(connection, name)
    local = _read_local(connection, sync, name, fields, known)
    fields = [
        replace(field, type=LOCAL_DATETIME) if field.field_id in local else field
        for field in fields
    ]
    taken = _taken_names(connection, name, known)
    is_first, changes = not known, list[FieldChange]()
    for field in fields:
        row = known.get((field.field_id, field.type))
        if row is None:
            changes.append(_add(connection, sync, name, field, known, taken))
        elif row.last_sync or _field_of(row) != field:
            run(
                connection,
                """
                update {schema}.ac_field_columns
                set key = :key, title = :title, options = cast(:options as text[]),
                    labels = cast(:labels as text[]), last_sync = null
                where data_type = :data_type and field_id = :field_id and type = :type
                """,
                name,
                **_values(field),
            )
            kind: Literal["back", "renamed"] = "back" if row.last_sync else "renamed"
            if row.last_sync or row.key != field.key or row.title != field.title:
                changes.append(FieldChange(kind, field, row.column_name))
    changes += _retire(connection, sync, name, known, fields)
    return () if is_first else tuple(changes)


def _read_local(
    connection: Connection,
    sync: Sync,
    name: DatasetName,
    fields: Iterable[CustomField],
    known: Known,
) -> set[str]:
    """Return the ids of the datetime fields whose values have no offset; once so, always so."""
    ids = {field.field_id for field in fields if field.type == "datetime"}
    local = {field_id for field_id in ids if (field_id, LOCAL_DATETIME) in known}
    return local | {
        *run(connection, LOCAL_FIELDS, name, ids=[*ids - local], sync_no=sync.number).scalars()
    }


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
            (data_type, field_id, type, key, title, options, labels, column_name, first_sync)
        values (:data_type, :field_id, :type, :key, :title, cast(:options as text[]),
                cast(:labels as text[]), :column_name, :sync_id)
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
        "options": [*field.options] or None,
        "labels": [*field.labels] or None,
    }


def _retire(
    connection: Connection,
    sync: Sync,
    name: DatasetName,
    known: Known,
    fields: Iterable[CustomField],
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
                 where published.data_type = :data_type and kind = 'full' and sync_no < :sync_no
                 order by sync_no desc limit 1),
                first_sync)
            where data_type = :data_type and field_id = :field_id and type = :type
            """,
            name,
            field_id=field_id,
            type=kind,
            sync_no=sync.number,
        )
    return [
        FieldChange("vanished", _field_of(known[key]), known[key].column_name)
        for key in gone
        if key[0] not in listed_ids
    ]


def _field_of(row: Any) -> CustomField:
    options, labels = tuple(row.options or ()), tuple(row.labels or ())
    return CustomField(row.field_id, row.key, row.title, row.type, options, labels)


def choose_column(
    key: str, field_id: str, kind: str, taken: Container[str], *, is_second_type: bool = False
) -> str:
    """Return a free name: the key in snake_case, followed by the field's id if necessary.

    A currency field needs a second name that ends in `_currency`. Names in `taken` cannot be used.
    `is_second_type` is for a field that already has a column of another type.
    """
    suffix = CURRENCY_SUFFIX if kind == "currency" else ""
    name = snake_case(key)
    by_type = f"_{field_id}_{snake_case(kind)[:MAX_TYPE_BYTES] or 'text'}"
    ends = ["", f"_{field_id}"] if name else [f"_{field_id}"]
    numbered = (f"{by_type}_{number}" for number in count(2))
    for end in chain([] if is_second_type else ends, [by_type], numbered):
        longest = MAX_BYTES - len(suffix) - len(end)
        column = (name or "field")[:longest] + end
        was_cut = len(name) > longest and not end
        if not was_cut and column not in taken and (not suffix or column + suffix not in taken):
            return column
    raise AssertionError("numbers do not end")


def snake_case(text: str) -> str:
    """Return the text in ASCII snake_case without accents; the result can be empty."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in folded if not unicodedata.combining(letter))
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def update_wide_views(
    database: Database, sync: Sync, results: Mapping[DatasetName, DatasetResult]
) -> dict[DatasetName, DatasetResult]:
    """Update the wide view of each published dataset, and return the results.

    If a view cannot be updated, a warning is added to the result and to the log, and the next sync
    tries again.
    """
    updated = dict(results)
    for name, result in results.items():
        try:
            if result.success:
                _update(database, name)
        except StoreError as error:
            warning = (
                f"The wide view of the {name} is not up to date: new custom fields have no column "
                f"there yet. {error}"
            )
            updated[name] = replace(result, warnings=(*result.warnings, warning))
            # The data is published, so an error of the log must not make the sync fail.
            with suppress(StoreError):
                add_warning(database, sync, name, warning)
    return updated


def _update(database: Database, name: DatasetName) -> None:
    """Take steps, each in its own transaction, until the view is up to date."""
    tries_left = TRIES
    while True:
        try:
            with database.begin() as connection:
                sql = "select {schema}.ac_update_wide_view(:data_type)"
                if not run(connection, sql, name).scalar_one():
                    return
        except LockHeld:
            tries_left -= 1
            if not tries_left:
                raise
            time.sleep(TRY_AGAIN_SECONDS)
