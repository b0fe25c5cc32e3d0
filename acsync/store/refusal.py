"""Undo a dataset that Postgres refuses, and name the record that it refused."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from acsync.datasets import DatasetName
from acsync.errors import DataRefused
from acsync.readings import Interval
from acsync.store.database import VERSIONS, WIDE_ROWS, run
from acsync.store.postgres_errors import name_kind

# Writes the records with these ids and returns the number of rows.
Write: TypeAlias = Callable[[Interval], int]

ALL_IDS = Interval(0, 2**63 - 1)

# SQLSTATEs that a retry of the whole transaction may solve: connections, serialization, deadlocks,
# resources, a shutdown, I/O, a lock. https://www.postgresql.org/docs/current/errcodes-appendix.html
RETRYABLE = ("08", "25", "40", "53", "57P", "58", "55P03")

# Missing rights or tables and cancelled statements are not the fault of one record.
ABOUT_NO_RECORD = ("42", "57014")

# The messages of these classes name tables and indexes, never values.
SAFE_TO_QUOTE = ("23", "42", "54", "55", "57")


@contextmanager
def savepoint(
    connection: Connection,
    name: DatasetName,
    find_record: Callable[[], int | None],
) -> Iterator[None]:
    """Undo the block and raise DataRefused if Postgres refuses what it wrote.

    `find_record` is called afterwards, in the same transaction.
    """
    try:
        with connection.begin_nested():
            yield
            require_constraints(connection)
    except DBAPIError as error:
        if not _is_refusal(error):
            raise
        is_about_record = not _code(error).startswith(ABOUT_NO_RECORD)
        record = find_record() if is_about_record else None
        raise _describe(error, name, record) from None


def require_constraints(connection: Connection) -> None:
    """Check deferred constraints now; at the commit they would undo both datasets."""
    run(connection, "set constraints all immediate")


def find_refused(connection: Connection, writes: Sequence[Write], ids: Sequence[int]) -> int | None:
    """Return the first record that Postgres refuses to write, or None.

    `ids` are sorted. A failing write is bisected. Halves that pass are kept, so that each record is
    written after those before it. Everything is undone at the end.
    """
    trial = connection.begin_nested()
    try:
        for write in writes:
            if not _passes(connection, write, ALL_IDS):
                return _search(connection, write, ids)
        return None
    finally:
        trial.rollback()


def _search(connection: Connection, write: Write, ids: Sequence[int]) -> int | None:
    left = ids
    while len(left) > 1:
        half = len(left) // 2
        passes = _passes(connection, write, Interval(left[0], left[half - 1]))
        left = left[half:] if passes else left[:half]
    refused = [
        number for number in left if not _passes(connection, write, Interval(number, number))
    ]
    return refused[0] if refused else None


def _passes(connection: Connection, write: Write, part: Interval) -> bool:
    try:
        with connection.begin_nested():
            write(part)
            require_constraints(connection)
    except DBAPIError as error:
        if not _is_refusal(error):
            raise
        return False
    return True


def _code(error: DBAPIError) -> str:
    return getattr(error.orig, "pgcode", None) or ""


def _is_refusal(error: DBAPIError) -> bool:
    return bool(_code(error)) and not _code(error).startswith(RETRYABLE)


def _describe(error: DBAPIError, name: DatasetName, record: int | None) -> DataRefused:
    noun, tables = name.removesuffix("s"), f"{VERSIONS[name]} and {WIDE_ROWS[name]}"
    where = f", at {noun} {record}" if record else ""
    place = f"{noun} {record} in ActiveCampaign" if record else f"the tables {tables}"
    return DataRefused(
        f"Postgres refused to store the {name}: {_reason(error)} (SQLSTATE {_code(error)}){where}. "
        f"The last published {name} are unchanged.",
        f"Look at {place}, and at the indexes, constraints and triggers on {tables}.",
    )


def _reason(error: DBAPIError) -> str:
    """Return the reason without anything that could quote the row, which is personal data.

    If a user-defined function is involved, any message could quote it.
    """
    cause: Any = error.orig
    if _code(error).startswith(SAFE_TO_QUOTE) and not cause.diag.context:
        return str(cause.diag.message_primary)
    return name_kind(cause)
