"""Read what a dbt project needs to know: the views, the choices of fields, what is published."""

from dataclasses import dataclass
from datetime import timedelta

from acsync.datasets import DatasetName
from acsync.errors import StoreError
from acsync.store.database import Database, run
from acsync.store.dictionary import View, read_views
from acsync.store.interval import read_interval
from acsync.store.wide_views import BASE_COLUMNS

# The values of these fields are one of their choices, unless a privacy rule hashes them.
ONE_CHOICE = ("dropdown", "radio")

CHOICES = """
    select data_type, column_name, options
    from {schema}.ac_fields join {schema}.ac_freshness using (data_type)
    where column_name is not null and options is not null and type = any(:types)
      and last_sync = sync_id and not exists (
          select from {schema}.ac_privacy as privacy cross join jsonb_each(named) as rule (key, ids)
          where privacy.data_type = ac_fields.data_type and ids ? field_id
            and format('hash %s.customFields.%s', privacy.data_type, rule.key) = any(rules)
      )
"""
PUBLISHED = "select data_type from {schema}.ac_freshness order by data_type"


@dataclass(frozen=True)
class CustomColumn:
    """The column of a custom field; `choices` are all its values, if ActiveCampaign offers some."""

    name: str
    comment: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """The views by name, the columns of custom fields, the published datasets, and how often."""

    schema: str
    views: dict[str, View]
    custom_columns: dict[DatasetName, list[CustomColumn]]
    published: tuple[DatasetName, ...]
    interval: timedelta


def read_catalogue(database: Database) -> Catalogue:
    """Read the catalogue; raises StoreError if nothing is published yet."""
    with database.begin() as connection:
        views = read_views(connection, with_custom_fields=True)
        published = tuple(run(connection, PUBLISHED).scalars())
        choices = {
            (row.data_type, row.column_name): tuple(row.options)
            for row in run(connection, CHOICES, types=list(ONE_CHOICE))
        }
        interval = read_interval(connection)
    if not published:
        raise StoreError("No records are published yet.", "Run: acsync sync")
    custom_columns = {
        name: [
            CustomColumn(column.name, column.comment, choices.get((name, column.name), ()))
            for column in views[f"ac_{name}_wide"].columns
            if column.name not in base
        ]
        for name, base in BASE_COLUMNS.items()
    }
    return Catalogue(database.schema, views, custom_columns, published, interval)
