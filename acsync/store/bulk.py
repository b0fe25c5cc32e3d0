"""Send rows in bulk with COPY, whatever bytes are in them."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from acsync.store.statements import schema_of

ESCAPES = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))
"""What means something to COPY; the backslash first, since the others bring one."""


def copy_rows(connection: Connection, table: str, rows: Iterable[Sequence[bytes]]) -> None:
    """Append rows of UTF-8 text to `table (columns)` of the schema; null is not among them."""
    lines = b"".join(b"\t".join(map(_escape, row)) + b"\n" for row in rows)
    sql = f"copy {schema_of(connection)}.{table} from stdin with (format text, encoding 'UTF8')"
    cursor: Any = connection.connection.cursor()
    with cursor:
        cursor.copy_expert(sql, io.BytesIO(lines))


def _escape(field: bytes) -> bytes:
    for plain, escaped in ESCAPES:
        field = field.replace(plain, escaped)
    return field
