"""Explain what Postgres refused and what to do, without secrets or row contents."""

import re
from typing import NamedTuple

import psycopg2
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from acsync.errors import LockHeld, StoreError

LOCK_NOT_AVAILABLE = "55P03"

# Next steps by SQLSTATE.
REMEDIES = {
    LOCK_NOT_AVAILABLE: (
        "Another transaction, such as a backup, holds a lock: try again when it has ended."
    ),
    "25006": (
        "This is a read replica, or a database that is closed for writing. Set POSTGRES_URL to the "
        "primary, or allow the role's transactions to write again."
    ),
    "25P03": (
        "The server's idle_in_transaction_session_timeout ended it: acsync's machine was too "
        "busy or asleep. Try again."
    ),
    "25P04": "The server's transaction_timeout ended it: set it to 0 for acsync's role.",
    "42501": "Run: acsync check. It names the rights that are missing, and the statements.",
    "53100": "The disk of Postgres is full: free or add space, then try again.",
    "53200": "Postgres is out of memory: add memory or lower its work_mem.",
    "55000": "Run: acsync check. It names tables that a publication keeps from changing.",
    "42P07": "Another program created it: set ACSYNC_SCHEMA to a schema that only acsync uses.",
    "57014": "It was cancelled by hand or took longer than ten minutes: try again.",
    "57P01": "Postgres was restarted, or somebody ended the connection: try again.",
}

# Data exceptions can quote values. So can the functions of others, for example of a trigger.
QUOTING = "22"
FUNCTION = re.compile(r"function ([\w.\"]+)[( ]")
OWN_FUNCTION = re.compile(r"(.*\.)?(ac_\w+|inline_code_block)")

Refusal = DBAPIError | PoolTimeout | psycopg2.Error


class _Cause(NamedTuple):
    """The driver's error; `code` is None if no server answered or the connection broke."""

    line: str
    code: str | None
    was_connected: bool


def place_of(url: URL) -> str:
    """Return the hosts and the database, which are safe to show."""
    hosts = ",".join(hosts_of(url)) or "the local socket"
    port = f":{url.port}" if url.port else ""
    return f"{hosts}{port}/{url.database or ''}"


def hosts_of(url: URL) -> list[str]:
    """Return the hosts of a URL; an empty list means the default socket."""
    hosts = url.host or url.query.get("host") or ""
    names = hosts.split(",") if isinstance(hosts, str) else hosts
    return [name for name in names if name]


def explain(error: Refusal, url: URL) -> StoreError:
    """Turn an error of the driver or the pool into a StoreError."""
    place = f"Postgres at {place_of(url)}"
    if isinstance(error, PoolTimeout):
        return StoreError(f"No connection to {place} came free.", "Try again.")
    cause = _read(error)
    if cause.code is None:
        return _explain_connection(cause, place)
    message = (
        f"{place} refused a statement: {cause.line} (SQLSTATE {cause.code}). Nothing of that "
        "transaction was kept."
    )
    kind = LockHeld if cause.code == LOCK_NOT_AVAILABLE else StoreError
    return kind(message, REMEDIES.get(cause.code, ""))


def _explain_connection(cause: _Cause, place: str) -> StoreError:
    if cause.was_connected:
        return StoreError(
            f"The connection to {place} broke: {cause.line.rstrip('.')}. Nothing of that "
            "transaction was kept.",
            # The driver loses the server's last message, including SQLSTATE 25P03 and 25P04.
            "Try again. If it happens often, see the log of Postgres for the reason: a restart, "
            "a failover, or a limit such as transaction_timeout.",
        )
    if re.search(r'database ".*" does not exist', cause.line):
        return StoreError(
            f"{place} cannot be reached: {cause.line.rstrip('.')}.",
            "Create the database, for example with createdb, or check POSTGRES_URL.",
        )
    return StoreError(
        f"{place} cannot be reached: {cause.line.rstrip('.')}.",
        "Check POSTGRES_URL, and that the server runs and accepts this machine.",
    )


def _read(error: DBAPIError | psycopg2.Error) -> _Cause:
    """Keep only the first line, because later lines can quote the row, which is personal.

    If the first one can quote it too, keep only the kind of error.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    # SQLAlchemy has no statement if connecting failed. COPY does not pass through SQLAlchemy.
    was_connected = not isinstance(error, DBAPIError) or error.statement is not None
    if isinstance(cause, psycopg2.InterfaceError) and isinstance(cause.__context__, psycopg2.Error):
        # The rollback failed because the connection had broken.
        cause, was_connected = cause.__context__, True
    line = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    if isinstance(cause, psycopg2.Error) and _can_quote(cause):
        line = name_kind(cause)
    return _Cause(line, getattr(cause, "pgcode", None), was_connected)


def _can_quote(cause: psycopg2.Error) -> bool:
    if (cause.pgcode or "").startswith(QUOTING):
        return True
    function = _find_function(cause)
    return function is not None and not OWN_FUNCTION.fullmatch(function.replace('"', ""))


def name_kind(cause: psycopg2.Error) -> str:
    """Return the kind of an error and the function that it is from, without its message."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(cause).__name__).lower()
    function = _find_function(cause)
    return f"{kind} in function {function}" if function else kind


def _find_function(cause: psycopg2.Error) -> str | None:
    function = FUNCTION.search(cause.diag.context or "")
    return function[1] if function else None
