"""Run one real Postgres per test run, which makes a database in a tenth of a second."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, make_url

import migrations
from acsync.local.embedded_postgres import start_embedded, stop_embedded
from acsync.settings import read_database_settings
from acsync.store.database import Database, open_database, quote


class UserDatabase(Database):
    """A database whose transactions find names without the schema, as users do."""

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction, and set its search path to the schema."""
        with super().begin() as connection:
            connection.exec_driver_sql(f"set local search_path = {quote(self.schema)}")
            yield connection


@dataclass
class Postgres:
    """A server that makes databases; `template` is migrated, `template1` is empty."""

    url: str
    data_dir: Path
    made: list[str] = field(default_factory=list)

    def execute(self, sql: str) -> None:
        """Run one statement outside any transaction, as CREATE DATABASE asks."""
        host = make_url(self.url).query["host"]
        with closing(psycopg2.connect(host=host, user="postgres", dbname="postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute(sql)

    def create(self, template: str) -> str:
        """Copy a template, which takes a tenth of a second, and return the copy's URL."""
        name = f"test_{len(self.made)}"
        self.made.append(name)
        self.execute(f"create database {name} template {template}")
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def open(self, url: str, schema: str = "public") -> Database:
        """Open a database as acsync does, and find names without the schema too."""
        settings = read_database_settings(
            POSTGRES_URL=url, ACSYNC_SCHEMA=schema, ACSYNC_DATA_DIR=self.data_dir
        )
        database = open_database(settings)
        return UserDatabase(database.engine, database.schema)


@contextmanager
def running_postgres(data_dir: Path) -> Iterator[Postgres]:
    """Start the embedded server with one migrated template, and stop it at the end."""
    server = Postgres(start_embedded(data_dir), data_dir)
    # Autovacuum would visit hundreds of databases, several per second.
    for name in ("autovacuum", "fsync", "full_page_writes", "synchronous_commit"):
        server.execute(f"alter system set {name} = off")
    server.execute("select pg_reload_conf()")
    server.execute("create database template_migrated")
    template = make_url(server.url).set(database="template_migrated")
    with closing(server.open(template.render_as_string(hide_password=False))) as database:
        migrations.upgrade(database)
    yield server
    stop_embedded(data_dir)


def upgrade_to(database: Database, revision: str) -> None:
    """Create the tables of an earlier revision, as an earlier acsync did."""
    config = Config()
    config.set_main_option("script_location", str(migrations.__path__[0]))
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = database.schema
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def execute(database: Database, sql: str) -> int:
    """Run statements as a user would, and return the row count of the last one."""
    with database.begin() as connection, closing(connection.connection.cursor()) as cursor:
        cursor.execute(f"set local search_path = {quote(database.schema)}; {sql}")
        return int(cursor.rowcount)


def url_of(database: Database, role: str) -> str:
    """Return the URL of the same database for another role."""
    url = make_url(database.engine.url).set(username=role)
    return url.render_as_string(hide_password=False)


@contextmanager
def own_postgres(data_dir: Path) -> Iterator[str]:
    """Run an embedded server in this folder until the block ends, and yield its URL."""
    try:
        yield start_embedded(data_dir)
    finally:
        stop_embedded(data_dir)
