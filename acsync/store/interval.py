"""The interval of full syncs in force, from which the views and the service judge freshness."""

from datetime import timedelta

from sqlalchemy import Connection

from acsync.store.database import Database, run


def read_interval(connection: Connection) -> timedelta:
    """Return the interval in force."""
    interval: timedelta = run(
        connection, "select sync_interval from {schema}.ac_schedule"
    ).scalar_one()
    return interval


def settle_interval(connection: Connection, chosen: timedelta | None) -> timedelta:
    """Put the chosen interval in force, if one was chosen; return the one in force."""
    if chosen is not None:
        sql = """
            update {schema}.ac_schedule set sync_interval = :chosen
            where sync_interval <> :chosen
        """
        run(connection, sql, chosen=chosen)
    return read_interval(connection)


def confirm_interval(database: Database, chosen: timedelta | None) -> timedelta:
    """Do the same in its own transaction."""
    with database.begin() as connection:
        return settle_interval(connection, chosen)
