"""Keep two accounts out of one schema: with ids in common, one would overwrite the other."""

from sqlalchemy import Connection

from acsync.errors import AnotherAccount
from acsync.store.database import Database, run


def require_account(database: Database, host: str) -> None:
    """Raise AnotherAccount where the schema holds the records of another account."""
    noted = read_account(database)
    if noted is not None and noted != host:
        raise AnotherAccount(
            f"The schema {database.schema} holds the records of {noted}; this sync is of {host}.",
            "Give this account a schema of its own with ACSYNC_SCHEMA. If the account was renamed, "
            "run: acsync migrate --adopt-account",
        )


def note_account(connection: Connection, host: str) -> None:
    """Note the account whose records are published here; a note stays as it is."""
    sql = "insert into {schema}.ac_account (host) values (:host) on conflict do nothing"
    run(connection, sql, host=host)


def forget_account(database: Database) -> str | None:
    """Let the next sync note its account; return the host that was noted."""
    with database.begin() as connection:
        noted: str | None = run(
            connection, "delete from {schema}.ac_account returning host"
        ).scalar_one_or_none()
    return noted


def read_account(database: Database) -> str | None:
    """Return the host of the account whose records are published; None before the first sync."""
    with database.begin() as connection:
        noted: str | None = run(
            connection, "select host from {schema}.ac_account"
        ).scalar_one_or_none()
    return noted
