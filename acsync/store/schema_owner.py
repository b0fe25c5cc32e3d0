"""Allow one account per schema: ids of two accounts overlap, so one would overwrite the other."""

from sqlalchemy import Connection

from acsync.errors import AnotherAccount
from acsync.store.database import Database, run, schema_of


def require_account(database: Database, host: str) -> None:
    """Raise AnotherAccount if the schema holds the records of another account."""
    with database.begin() as connection:
        _require_same(connection, host)


def note_account(connection: Connection, host: str) -> None:
    """Record whose account is published here.

    Raises AnotherAccount if another account published since this sync started.
    """
    sql = "insert into {schema}.ac_account (host) values (:host) on conflict do nothing"
    run(connection, sql, host=host)
    _require_same(connection, host)


def _require_same(connection: Connection, host: str) -> None:
    owner = _read_host(connection)
    if owner is not None and owner != host:
        schema = schema_of(connection)
        raise AnotherAccount(
            f"The schema {schema} holds the records of {owner}; this sync is of {host}.",
            "Set ACSYNC_SCHEMA to another schema for this account. If the account was renamed, "
            "run: acsync migrate --adopt-account",
        )


def forget_account(database: Database) -> str | None:
    """Forget the recorded account, so that the next sync records its own; return the old host."""
    with database.begin() as connection:
        host: str | None = run(
            connection, "delete from {schema}.ac_account returning host"
        ).scalar_one_or_none()
    return host


def read_account(database: Database) -> str | None:
    """Return the host of the account whose records are published; None before the first sync."""
    with database.begin() as connection:
        return _read_host(connection)


def _read_host(connection: Connection) -> str | None:
    sql = "select host from {schema}.ac_account"
    host: str | None = run(connection, sql).scalar_one_or_none()
    return host
