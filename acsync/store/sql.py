"""Run SQL with every name qualified: a pooler in transaction mode keeps no search_path."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, text

from acsync.models import DatasetName

# The table that holds each dataset's versions.
VERSIONS: dict[DatasetName, str] = {
    "contacts": "ac_contact_versions",
    "deals": "ac_deal_versions",
}

# What has a meaning to COPY; the backslash first, since the others bring one.
COPY_ESCAPES = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))


def quote(name: str) -> str:
    """Return a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def schema_of(connection: Connection) -> str:
    """Return the quoted schema that a connection of `Database.begin` works in."""
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


def copy_rows(connection: Connection, table: str, rows: Iterable[Sequence[bytes]]) -> None:
    """Append rows of UTF-8 text, without nulls, to `table (columns)` of the schema by COPY."""
    lines = b"".join(b"\t".join(map(_escape, row)) + b"\n" for row in rows)
    sql = f"copy {schema_of(connection)}.{table} from stdin with (format text, encoding 'UTF8')"
    cursor: Any = connection.connection.cursor()
    with cursor:
        cursor.copy_expert(sql, io.BytesIO(lines))


def _escape(field: bytes) -> bytes:
    for plain, escaped in COPY_ESCAPES:
        field = field.replace(plain, escaped)
    return field
