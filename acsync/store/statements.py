"""Name tables by schema in every statement: a pooler in transaction mode keeps no search_path."""

from typing import Any

from sqlalchemy import Connection, CursorResult, text

from acsync.datasets import DatasetName

VERSIONS: dict[DatasetName, str] = {
    "contacts": "ac_contact_versions",
    "deals": "ac_deal_versions",
}
"""The table that holds each dataset's versions."""


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def schema_of(connection: Connection) -> str:
    """Give the quoted schema that a connection of `Database.begin` works in."""
    schema: str = connection.get_execution_options()["schema_translate_map"][None]
    return quote(schema)


def run(
    connection: Connection, sql: str, name: DatasetName | None = None, **values: Any
) -> CursorResult[*tuple[Any, ...]]:
    """Run one statement; `{schema}` and the dataset's `{versions}` stand for their names."""
    schema = schema_of(connection)
    if name is not None:
        sql = sql.replace("{versions}", f"{schema}.{VERSIONS[name]}")
        values["data_type"] = name
    return connection.execute(text(sql.replace("{schema}", schema)), values)
