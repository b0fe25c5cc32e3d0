"""Bring the tables to the revision that the code needs: one transaction, all or nothing."""

from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from acsync.errors import SchemaTooNew
from acsync.store.database import Database, read_revision
from acsync.store.sql import run


def _config(schema: str) -> Config:
    config = Config(output_buffer=StringIO())
    folder = str(Path(__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = schema
    return config


# The newest revision there is.
HEAD = str(ScriptDirectory.from_config(_config("public")).get_current_head())


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to the newest revision; return the one before (None for none) and after.

    Concurrent calls take turns. Raises SchemaTooNew where the tables are newer than this acsync.
    """
    config = _config(database.schema)
    with database.begin() as connection:
        run(
            connection,
            "select pg_advisory_xact_lock(hashtext(:lock_name))",
            lock_name=f"acsync migrate {database.schema}",
        )
        before = read_revision(connection)
        if before is not None and before > HEAD:
            raise SchemaTooNew(
                f"The schema {database.schema} is at revision {before}, newer than the {HEAD} "
                "this acsync knows.",
                "Update acsync.",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, HEAD


def sql(schema: str) -> str:
    """Return the SQL that makes everything from nothing, ready for psql."""
    config = _config(schema)
    command.upgrade(config, "head", sql=True)
    output = config.output_buffer
    return output.getvalue() if isinstance(output, StringIO) else ""
