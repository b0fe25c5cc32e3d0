"""Read a published dataset, or an earlier one, as a stream from one snapshot."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from sqlalchemy import Connection

from acsync.datasets import DatasetName
from acsync.errors import StoreError
from acsync.store.database import Database, quote, run, schema_of

BATCH_ROWS = 2_000

# A sync that publishes between two statements of an export must not change it.
ONE_SNAPSHOT = "set transaction isolation level repeatable read, read only"

# The range of Python's datetime, which writes and usually also reads Parquet files.
FIRST_TIME = "timestamp '0001-01-01 00:00:00'"
LAST_TIME = "timestamp '9999-12-31 23:59:59.999999'"

# A spreadsheet runs a text with such a beginning as a formula.
FORMULA = r"^[=+\-@\t\r]"

# JSON never contains these two characters unescaped, so COPY does not change it.
UNCHANGED = r"format csv, quote E'\x01', delimiter E'\x02'"

LATEST_CONDITION = re.compile(r"WHERE \(?(\w+\.)?valid_to IS NULL\)?$")


@dataclass(frozen=True)
class Column:
    """One column of an export, with its type as Postgres names it."""

    name: str
    type: str


@dataclass(frozen=True)
class Export:
    """A query in an open transaction, its columns and its approximate number of rows."""

    connection: Connection
    sql: str
    columns: tuple[Column, ...]
    rows: int


@contextmanager
def open_export(
    database: Database, name: DatasetName, wide: bool, sync_id: str | None
) -> Iterator[Export]:
    """Open the export of a dataset, as published or as a kept sync left it.

    Raises StoreError where nothing is published, or the sync is not kept.
    """
    with database.begin() as connection:
        run(connection, ONE_SNAPSHOT)
        run(connection, "set local statement_timeout = 0")
        yield _plan(connection, name, wide, sync_id)


def _plan(connection: Connection, name: DatasetName, wide: bool, sync_id: str | None) -> Export:
    schema = schema_of(connection)
    view = f"{schema}.ac_{name}{'_wide' if wide else ''}"
    published = _find_sync(connection, name, sync_id)
    columns = tuple(
        Column(row.attname, row.type)
        for row in run(
            connection,
            "select attname, format_type(atttypid, null) as type from pg_attribute "
            "where attrelid = cast(:view as regclass) and attnum > 0 order by attnum",
            view=view,
        )
    )
    source = _as_of(connection, view, columns, published) if sync_id else view
    sql = f"select * from {source} as exported order by 1"
    return Export(connection, sql, columns, published.record_count)


def _find_sync(connection: Connection, name: DatasetName, sync_id: str | None) -> Any:
    """Return the published row of the dataset as of that sync, of the newest one without it."""
    kept = run(
        connection,
        "select * from {schema}.ac_published where data_type = :data_type order by sync_no desc",
        name,
    ).all()
    if not kept:
        raise StoreError(f"No {name} are published yet.", "Run: acsync sync")
    if sync_id is None:
        return kept[0]
    found = [row for row in kept if row.sync_id == sync_id]
    if not found:
        ids = ", ".join(row.sync_id for row in kept[:10])
        raise StoreError(
            f"The {name} of {sync_id} are not kept.",
            f"Kept are: {ids}. To keep more, raise ACSYNC_KEEP_SYNCS.",
        )
    return found[0]


def _as_of(connection: Connection, view: str, columns: Sequence[Column], published: Any) -> str:
    """Return the view's own query, with the versions of that sync in place of the latest ones."""
    sql = "select pg_get_viewdef(cast(:view as regclass))"
    definition: str = run(connection, sql, view=view).scalar_one().rstrip("; \n")
    number = int(published.sync_no)
    condition = f"WHERE valid_from <= {number} AND (valid_to IS NULL OR valid_to > {number})"
    at, replaced = LATEST_CONDITION.subn(condition, definition)
    if not replaced:
        raise StoreError(f"{view} is not the view that acsync made.", "Run: acsync migrate")
    moment = f"'{published.synced_at.isoformat()}'::timestamptz as synced_at"
    names = (moment if one.name == "synced_at" else quote(one.name) for one in columns)
    return f"(select {', '.join(names)} from ({at}) as versions)"


def copy_export(
    export: Export,
    form: Literal["csv", "jsonl"],
    write: Callable[[bytes], object],
    *,
    excel: bool = False,
) -> None:
    """Call `write` once per row; CSV begins with a row of column names.

    `excel` puts an apostrophe before text that a spreadsheet would run as a formula.
    """
    if form == "jsonl":
        sql, options = f"select row_to_json(line) from ({export.sql}) as line", UNCHANGED
    else:
        columns = ", ".join(_csv_column(column, excel) for column in export.columns)
        sql, options = f"select {columns} from ({export.sql}) as line", "format csv, header"
    cursor: Any = export.connection.connection.cursor()
    with cursor:
        copy = f"copy ({sql}) to stdout with ({options}, encoding 'UTF8')"
        cursor.copy_expert(copy, _Sink(write))


def _csv_column(column: Column, excel: bool) -> str:
    name = quote(column.name)
    if column.type == "boolean":
        return f"{name}::text as {name}"  # true, not t
    if column.type == "text" and excel:
        return f"case when {name} ~ '{FORMULA}' then '''' || {name} else {name} end as {name}"
    return name


class _Sink:
    """A write-only file for psycopg2."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write

    def read(self, _size: int) -> bytes:
        """Refuse to read."""
        raise NotImplementedError


def read_batches(export: Export) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows in batches, by a cursor on the server.

    JSON is returned as text and times as naive UTC. A time outside the range of datetime, such as
    9999-12-31T23:59:59-05:00, becomes the first or last possible datetime.
    """
    columns = ", ".join(map(_python_column, export.columns))
    raw: Any = export.connection.connection
    with closing(raw.cursor(name="acsync_export")) as cursor:
        cursor.itersize = BATCH_ROWS
        cursor.execute(f"select {columns} from ({export.sql}) as line")
        while batch := cursor.fetchmany(BATCH_ROWS):
            yield batch


def _python_column(column: Column) -> str:
    name = quote(column.name)
    if column.type == "jsonb":
        return f"{name}::text"
    if column.type == "timestamp with time zone":
        utc = f"({name} at time zone 'UTC')"
        return (
            f"case when {utc} < {FIRST_TIME} then {FIRST_TIME} "
            f"when {utc} > {LAST_TIME} then {LAST_TIME} else {utc} end"
        )
    return name


def read_digits(export: Export) -> dict[str, tuple[int, int]]:
    """Return, by numeric column, the most digits before and after the point."""
    numeric = [column.name for column in export.columns if column.type == "numeric"]
    if not numeric:
        return {}
    most = ", ".join(
        f"max(length(trunc(abs({quote(name)}))::text)), max(scale({quote(name)}))"
        for name in numeric
    )
    sql = f"select {most} from ({export.sql}) as line"
    row = export.connection.exec_driver_sql(sql, execution_options={"no_parameters": True}).one()
    numbers = [number or 0 for number in row]
    return {name: (numbers[2 * at], numbers[2 * at + 1]) for at, name in zip(count(), numeric)}
