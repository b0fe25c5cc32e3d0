"""Read the views and tables that people query, with the comments of their columns."""

from dataclasses import dataclass
from datetime import timedelta

from acsync.datasets import DatasetName
from acsync.errors import StoreError
from acsync.store.database import Database, run
from acsync.store.interval import read_interval
from acsync.store.wide_views import BASE_COLUMNS

# All other tables are internal. Every view is for people.
PUBLIC_TABLES = ("ac_deal_stages", "ac_deleted", "ac_sync_logs")

# The values of these fields are one of their choices.
ONE_CHOICE = ("dropdown", "radio")

RELATIONS = """
    select relname as name, coalesce(obj_description(class.oid, 'pg_class'), '') as comment,
        array_agg(cast(attname as text) order by attnum) as columns,
        array_agg(coalesce(col_description(class.oid, attnum), '') order by attnum) as comments
    from pg_class as class
    join pg_attribute on attrelid = class.oid and attnum > 0 and not attisdropped
    where relnamespace = to_regnamespace(:schema) and relname like 'ac\\_%'
      and (relkind = 'v' or relname = any(:tables))
    group by class.oid, relname
    order by relname
"""
CHOICES = """
    select data_type, column_name, options
    from {schema}.ac_fields join {schema}.ac_freshness using (data_type)
    where column_name is not null and options is not null and type = any(:types)
      and last_sync = sync_id
"""
PUBLISHED = "select data_type from {schema}.ac_freshness order by data_type"


@dataclass(frozen=True)
class Column:
    """A column; `choices` are all values that ActiveCampaign offers, if it offers only some."""

    name: str
    comment: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Relation:
    """A view, or a table that people query."""

    name: str
    comment: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Catalogue:
    """The relations of a schema by name, the datasets that are published, and how often."""

    schema: str
    relations: dict[str, Relation]
    published: tuple[DatasetName, ...]
    interval: timedelta

    def custom_columns(self, name: DatasetName) -> list[Column]:
        """Return the columns of custom fields that the wide view of a dataset has now."""
        columns = self.relations[f"ac_{name}_wide"].columns
        return [column for column in columns if column.name not in BASE_COLUMNS[name]]


def read_catalogue(database: Database) -> Catalogue:
    """Read the catalogue; raises StoreError if nothing is published yet."""
    with database.begin() as connection:
        published = tuple(run(connection, PUBLISHED).scalars())
        choices = {
            (f"ac_{row.data_type}_wide", row.column_name): tuple(row.options)
            for row in run(connection, CHOICES, types=list(ONE_CHOICE))
        }
        tables = list(PUBLIC_TABLES)
        rows = run(connection, RELATIONS, schema=database.schema, tables=tables).all()
        interval = read_interval(connection)
    if not published:
        raise StoreError("No records are published yet.", "Run: acsync sync")
    relations = {
        row.name: Relation(
            row.name,
            row.comment,
            tuple(
                Column(name, comment, choices.get((row.name, name), ()))
                for name, comment in zip(row.columns, row.comments, strict=True)
            ),
        )
        for row in rows
    }
    return Catalogue(database.schema, relations, published, interval)
