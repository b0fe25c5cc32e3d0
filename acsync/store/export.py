"""Export a dataset, as published or as an earlier sync left it, from one snapshot."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any, Literal

from psycopg2.extensions import adapt
from sqlalchemy import Connection

from acsync.datasets import DatasetName
from acsync.errors import StoreError, UsageError, find_nearest, sanitize
from acsync.store.database import Database, quote, run, schema_of

BATCH_ROWS = 2_000

# A sync that publishes between two statements of an export must not change it.
ONE_SNAPSHOT = "set transaction isolation level repeatable read, read only"

# The range of Python's datetime, which writes and usually also reads Parquet files.
FIRST_TIME = "timestamp '0001-01-01 00:00:00'"
LAST_TIME = "timestamp '9999-12-31 23:59:59.999999'"

# JSON never contains these two characters unescaped, so COPY does not change it.
UNCHANGED = r"format csv, quote E'\x01', delimiter E'\x02'"


@dataclass(frozen=True)
class Column:
    """One column of an export, with its type as Postgres names it."""

    name: str
    type: str


@dataclass(frozen=True)
class Export:
    """A query in an open transaction, with its approximate number of rows.

    The export of an earlier sync has no `columns`: it can only be written as JSON Lines.
    """

    connection: Connection
    sql: str
    columns: tuple[Column, ...]
    rows: int


@contextmanager
def open_export(
    database: Database,
    name: DatasetName,
    wide: bool,
    sync_id: str | None,
    columns: Sequence[str] = (),
) -> Iterator[Export]:
    """Open the export of a dataset: its view, or the records as a kept sync left them.

    Without `columns`, the view is exported whole. Raises StoreError if nothing is published, and
    UsageError if the sync is not kept or the view has no such column.
    """
    with database.begin() as connection:
        run(connection, ONE_SNAPSHOT)
        run(connection, "set local statement_timeout = 0")
        if sync_id is None:
            yield _export_view(connection, name, wide, columns)
        else:
            yield _export_earlier(connection, name, sync_id)


def _export_view(
    connection: Connection, name: DatasetName, wide: bool, columns: Sequence[str]
) -> Export:
    view = f"ac_{name}{'_wide' if wide else ''}"
    newest = _read_kept(connection, name)[0]
    existing = _read_columns(connection, view)
    chosen = _choose(existing, columns, view) if columns else existing
    listed = ", ".join(quote(column.name) for column in chosen)
    sql = (
        f"select {listed} from {schema_of(connection)}.{view} as exported "
        f"order by {quote(existing[0].name)}"
    )
    return Export(connection, sql, chosen, newest.record_count)


def _read_columns(connection: Connection, view: str) -> tuple[Column, ...]:
    rows = run(
        connection,
        "select attname, format_type(atttypid, null) from pg_attribute "
        "where attrelid = cast(:view as regclass) and attnum > 0 order by attnum",
        view=f"{schema_of(connection)}.{view}",
    )
    return tuple(Column(*row) for row in rows)


def _choose(existing: Sequence[Column], names: Sequence[str], view: str) -> tuple[Column, ...]:
    """Return the named columns in this order; raise UsageError if one does not exist."""
    by_name = {column.name: column for column in existing}
    for name in names:
        if name not in by_name:
            nearest = find_nearest(name, by_name)
            hint = f" Did you mean {nearest}?" if nearest else ""
            more = "" if view.endswith("_wide") else " Custom fields need --wide."
            raise UsageError(
                f'{view} has no column "{sanitize(name)}".{hint}',
                f"Columns: {', '.join(by_name)}.{more}",
            )
    return tuple(by_name[name] for name in names)


def _export_earlier(connection: Connection, name: DatasetName, sync_id: str) -> Export:
    kept = _read_kept(connection, name)
    sync = next((row for row in kept if row.sync_id == sync_id), None)
    if sync is None:
        ids = ", ".join(row.sync_id for row in kept[:10])
        raise UsageError(
            f"The {name} of {sync_id} are not kept.",
            f"Kept are: {ids}. To keep more, raise ACSYNC_KEEP_SYNCS.",
        )
    literal: bytes = adapt(sync_id).getquoted()
    sql = (
        f"select * from {schema_of(connection)}.ac_records_as_of({literal.decode()}) "
        f"where data_type = '{name}' order by record_id"
    )
    return Export(connection, sql, (), sync.record_count)


def _read_kept(connection: Connection, name: DatasetName) -> Sequence[Any]:
    """Return the kept publications of a dataset, newest first."""
    sql = "select * from {schema}.ac_published where data_type = :data_type order by sync_no desc"
    kept = run(connection, sql, name).all()
    if not kept:
        raise StoreError(f"No {name} are published yet.", "Run: acsync sync")
    return kept


def copy_export(
    export: Export, form: Literal["csv", "jsonl"], write: Callable[[bytes], object]
) -> None:
    """Call `write` once per row; CSV begins with a row of column names."""
    if form == "jsonl":
        sql, options = f"select row_to_json(line) from ({export.sql}) as line", UNCHANGED
    else:
        columns = ", ".join(map(_csv_column, export.columns))
        sql, options = f"select {columns} from ({export.sql}) as line", "format csv, header"
    cursor: Any = export.connection.connection.cursor()
    with cursor:
        copy = f"copy ({sql}) to stdout with ({options}, encoding 'UTF8')"
        cursor.copy_expert(copy, SimpleNamespace(write=write))  # a file for psycopg2


def _csv_column(column: Column) -> str:
    name = quote(column.name)
    return f"{name}::text as {name}" if column.type == "boolean" else name  # true, not t


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


def count_rows(export: Export) -> int:
    """Return the exact number of rows."""
    sql = f"select count(*) from ({export.sql}) as line"
    return int(export.connection.exec_driver_sql(sql).scalar_one())


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
