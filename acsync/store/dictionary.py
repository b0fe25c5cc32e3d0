"""Describe what people query: views with their columns, and custom fields with their choices."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.store.database import Database, run, schema_of

# All views are for people; all other tables are acsync's own.
PUBLIC_TABLES = (
    *("ac_currencies", "ac_deal_events", "ac_deal_stages", "ac_deleted", "ac_sync_logs"),
    "ac_verifications",
)

READ_COLUMNS = """
    select relname, coalesce(obj_description(class.oid, 'pg_class'), '') as meaning,
           attname as name,
           replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz')
               as type,
           coalesce(col_description(class.oid, attnum), '') as comment
    from pg_class as class
    join pg_attribute on attrelid = class.oid and attnum > 0 and not attisdropped
    where relnamespace = cast(:schema as regnamespace) and starts_with(relname, 'ac_')
      and (relkind = 'v' or relname = any(:tables))
      and (:with_custom_fields or not exists (
          select from {schema}.ac_field_columns as field
          where relname = 'ac_' || field.data_type || '_wide'
            and attname in (field.column_name, field.column_name || '_currency')
      ))
    order by relname, attnum
"""

# One scan of the current records of each dataset: about half a second for 82,000 contacts with 20
# values each. Values of a field that had several types count for its newest type.
READ_FIELDS = """
    with filled as (
        select key, count(*) as records
        from {versions} cross join jsonb_each_text(field_values)
        where valid_to is null and value not in ('', '||', '[]')
        group by key
    ), known as (
        select *, row_number() over (
            partition by field_id order by last_sync is null desc, position desc) = 1 as is_newest
        from {schema}.ac_field_columns where data_type = :data_type
    )
    select field_id, coalesce(nullif(title, ''), known.key) as title, known.key, type, column_name,
           last_sync is null as is_listed, coalesce(options, '{}') as options,
           coalesce(labels, options, '{}') as labels,
           case when is_newest then coalesce(records, 0) end as records
    from known left join filled on filled.key = field_id
    order by position
"""


@dataclass(frozen=True)
class Column:
    """One column of a view and its comment in the database."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class View:
    """One view or table that people query."""

    name: str
    meaning: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class FieldUse:
    """A custom field with its column, its choices and their labels, and who fills it.

    `records` is None for a former type of a field.
    """

    field_id: str
    title: str
    key: str
    type: str
    column: str | None
    is_listed: bool
    options: Sequence[str]
    labels: Sequence[str]
    records: int | None

    @property
    def choices(self) -> list[str]:
        """Return the choices as records have them, with their labels if these differ."""
        pairs = zip(self.options, self.labels, strict=False)
        return [f"{option} ({label})" if label != option else option for option, label in pairs]


@dataclass(frozen=True)
class Dictionary:
    """The views by name, and the fields and the number of records of each dataset.

    The wide views have no columns of custom fields here.
    """

    views: dict[str, View]
    fields: dict[DatasetName, tuple[FieldUse, ...]]
    records: dict[DatasetName, int]


def read_dictionary(database: Database) -> Dictionary:
    """Read the catalogue, and count how many records fill each field."""
    count = "select count(*) from {versions} where valid_to is null"
    with database.begin() as connection:
        return Dictionary(
            read_views(connection, with_custom_fields=False),
            {
                name: tuple(FieldUse(*row) for row in run(connection, READ_FIELDS, name))
                for name in DATASETS
            },
            {name: run(connection, count, name).scalar_one() for name in DATASETS},
        )


def read_views(connection: Connection, *, with_custom_fields: bool) -> dict[str, View]:
    """Return what people query; the wide views with or without the columns of custom fields."""
    rows = run(
        connection,
        READ_COLUMNS,
        schema=schema_of(connection),
        tables=list(PUBLIC_TABLES),
        with_custom_fields=with_custom_fields,
    ).all()
    return {
        name: View(
            name,
            columns[0].meaning,
            tuple(Column(row.name, row.type, row.comment) for row in columns),
        )
        for name, group in groupby(rows, key=lambda row: row.relname)
        if (columns := list(group))
    }
