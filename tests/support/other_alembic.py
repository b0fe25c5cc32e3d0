"""Another program that keeps its tables with Alembic in the same schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from acsync.store.database import Database

ENV = """
from alembic import context
context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema=context.config.attributes["schema"],
)
with context.begin_transaction():
    context.run_migrations()
"""
REVISION = """
from alembic import op
revision, down_revision = "{revision}", None
def upgrade():
    op.execute("create table {schema}.other_program (id integer)")
"""


def upgrade_other_program(folder: Path, database: Database, revision: str) -> None:
    """Upgrade the other program to its only revision, as its own Alembic does."""
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    (folder / "env.py").write_text(ENV)
    script = REVISION.format(revision=revision, schema=database.schema)
    (folder / "versions" / "only.py").write_text(script)
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = database.schema
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
