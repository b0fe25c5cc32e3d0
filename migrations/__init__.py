"""Bring the tables to the revision that the code needs: one transaction, all or nothing."""

from importlib.resources import files
from io import StringIO
from pathlib import Path

from alembic import command, op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from acsync.errors import StoreError
from acsync.store.database import (
    LOCK_TIMEOUT,
    Database,
    quote,
    read_revision,
    require_known,
    run,
)
from acsync.store.inspection import UNICODE, UNICODE_REMEDY, read_encoding
from acsync.store.lease import require_no_sync
from migrations.revision_table import move_revision


def _config(schema: str) -> Config:
    config = Config(output_buffer=StringIO())
    folder = str(Path(__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = schema
    return config


def run_sql_file(name: str) -> None:
    """Run or print the file `migrations/versions/NAME`; `{schema}` becomes the quoted schema."""
    context = op.get_context()
    text = files("migrations").joinpath("versions", name).read_text(encoding="utf-8")
    sql = text.replace("{schema}", quote(context.opts["version_table_schema"]))
    if context.as_sql:
        context.impl.static_output(sql)
    elif context.connection is not None:
        # Without parameters psycopg2 does not interpret %.
        context.connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


# The newest revision. Below run_sql_file, because finding it imports the revisions.
HEAD = str(ScriptDirectory.from_config(_config("public")).get_current_head())


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to the newest revision; return the old one, None if new, and the new one.

    Concurrent calls take turns. Raises SchemaTooNew if the tables are newer than this acsync, and
    LeaseHeld while a sync runs, because it would wait for that sync's statements.
    """
    config = _config(database.schema)
    with database.begin() as connection:
        _take_turn(connection, database.schema)
        before = read_revision(connection)
        if before is None:
            _require_unicode(connection)
        else:
            require_known(before, f"The schema {database.schema}")
            if before != HEAD:
                require_no_sync(connection)
        config.attributes["first"] = move_revision(connection)
        run(connection, "set local statement_timeout = 0")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, HEAD


def _take_turn(connection: Connection, schema: str) -> None:
    run(connection, "set local lock_timeout = '10min'")
    run(
        connection,
        "select pg_advisory_xact_lock(hashtext(:lock_name))",
        lock_name=f"acsync migrate {schema}",
    )
    run(connection, f"set local lock_timeout = '{LOCK_TIMEOUT}'")


def _require_unicode(connection: Connection) -> None:
    """Refuse to create tables in a database that cannot store every letter."""
    encoding = read_encoding(connection)
    if encoding not in UNICODE:
        raise StoreError(
            f"The database has the encoding {encoding}, which cannot store every letter.",
            UNICODE_REMEDY,
        )


def sql(schema: str, database: Database | None = None) -> str:
    """Return the SQL that `upgrade` would run on a database, ready for psql.

    Without a database it creates everything; "" if the schema lacks nothing. Raises SchemaTooNew.
    """
    config, before = _config(schema), None
    if database is not None:
        with database.begin() as connection:
            before = read_revision(connection)
            config.attributes["first"] = move_revision(connection)
    if before == HEAD:
        return ""
    if before is not None:
        require_known(before, f"The schema {schema}")
    command.upgrade(config, f"{before}:head" if before else "head", sql=True)
    output = config.output_buffer
    return output.getvalue() if isinstance(output, StringIO) else ""
