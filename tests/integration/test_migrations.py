"""Migrations create all tables completely, from any start and any number of times."""

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

import migrations
from acsync.errors import AcsyncError, SchemaOutdated, SchemaTooNew, StoreError
from acsync.local.embedded_postgres import (
    is_embedded,
    psql_command,
    start_embedded,
    stop_embedded,
    with_database_url,
)
from acsync.settings import read_database_settings
from acsync.store.database import (
    REVISIONS,
    SCHEMA_REVISION,
    Database,
    open_database,
    require_current_schema,
)
from acsync.web.dashboard import psql_line
from tests.support.postgres import Postgres, upgrade_to

HEAD = migrations.HEAD
CATALOGUE = """
    select 'column', table_name, column_name, data_type || ' ' || is_nullable || ' '
        || coalesce(generation_expression, '')
    from information_schema.columns where table_schema = :schema
    union all
    select 'view', table_name, '', view_definition
    from information_schema.views where table_schema = :schema
    union all
    select 'routine', routine_name, '', routine_definition
    from information_schema.routines where routine_schema = :schema
    union all
    select 'index', tablename, indexname, indexdef from pg_indexes where schemaname = :schema
    order by 1, 2, 3, 4
"""


def read_catalogue(database: Database) -> list[tuple[str, ...]]:
    with database.begin() as connection:
        rows = connection.execute(text(CATALOGUE), {"schema": database.schema})
        return [tuple(row) for row in rows]


@pytest.fixture
def other_database(postgres: Postgres) -> Iterator[Database]:
    """Open a second fresh database without tables."""
    with closing(postgres.open(postgres.create("template1"))) as opened:
        yield opened


def test_the_code_and_alembic_agree_on_the_revision() -> None:
    """The store must not import migrations, so it has its own list of revisions."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")

    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

    assert chain[::-1] == list(REVISIONS)
    assert migrations.HEAD == SCHEMA_REVISION == REVISIONS[-1]


def test_migrating_twice_changes_nothing_the_second_time(empty_database: Database) -> None:
    """People run `acsync migrate` after each upgrade, needed or not."""
    first = migrations.upgrade(empty_database)
    made = read_catalogue(empty_database)
    second = migrations.upgrade(empty_database)

    assert (first, second) == ((None, HEAD), (HEAD, HEAD))
    assert read_catalogue(empty_database) == made


@pytest.mark.parametrize("name", ["contact", "deal"])
def test_versions_have_no_column_that_is_not_staged(database: Database, name: str) -> None:
    """Publishing copies staged columns, so a column that only versions had would stay empty."""
    columns: dict[str, set[str]] = {}
    for kind, table, column, _ in read_catalogue(database):
        if kind == "column":
            columns.setdefault(table, set()).add(column)

    staged, versions = columns[f"ac_staged_{name}s"], columns[f"ac_{name}_versions"]
    assert staged - {"sync_no", "slice_no", "is_refresh"} == versions - {
        *("valid_from", "valid_to", "changed_at", "read_at", "is_added", "is_deleted")
    }


def test_migrations_at_the_same_time_take_turns(empty_database: Database) -> None:
    """Two containers that start together both migrate."""
    steps: list[tuple[str | None, str]] = []
    threads = [
        threading.Thread(target=lambda: steps.append(migrations.upgrade(empty_database)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(steps, key=str) == [(HEAD, HEAD)] * 3 + [(None, HEAD)]


@pytest.mark.parametrize("schema", ["public", "client_a", "user"])
def test_the_printed_sql_creates_what_migrate_creates(
    empty_database: Database, other_database: Database, schema: str
) -> None:
    """A DBA runs the printed SQL if others have no right to. `user` is a keyword."""
    migrated = Database(
        empty_database.engine.execution_options(schema_translate_map={None: schema}), schema
    )
    printed = Database(
        other_database.engine.execution_options(schema_translate_map={None: schema}), schema
    )
    migrations.upgrade(migrated)
    url = other_database.engine.url
    with closing(
        psycopg2.connect(host=url.query["host"], user="postgres", dbname=url.database)
    ) as connection:
        connection.autocommit = True
        connection.cursor().execute(migrations.sql(schema))

    require_current_schema(printed)
    assert read_catalogue(printed) == read_catalogue(migrated)


def test_the_printed_sql_upgrades_an_older_schema(
    empty_database: Database, other_database: Database
) -> None:
    """It used to print everything from nothing, which an older schema refuses."""
    for database in (empty_database, other_database):
        upgrade_to(database, "0005")
    migrations.upgrade(empty_database)
    url = other_database.engine.url
    with closing(
        psycopg2.connect(host=url.query["host"], user="postgres", dbname=url.database)
    ) as connection:
        connection.autocommit = True
        connection.cursor().execute(migrations.sql("public", other_database))

    require_current_schema(other_database)
    assert read_catalogue(other_database) == read_catalogue(empty_database)
    assert migrations.sql("public", other_database) == ""


def test_migrating_and_printing_say_nothing(
    empty_database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """People pipe the output of `migrate --sql` into psql."""
    migrations.upgrade(empty_database)
    printed = migrations.sql("public")

    assert capfd.readouterr() == ("", "")
    assert printed.rstrip().endswith("COMMIT;")


def test_no_migration_leaves_anything_in_another_schema(postgres: Postgres) -> None:
    """Each account has its own schema, and two schemas can share a database."""
    database = postgres.open(postgres.create("template1"), "client_a")
    with closing(database):
        migrations.upgrade(database)
        with database.begin() as connection:
            schemas = connection.execute(
                text(
                    "select distinct relnamespace::regnamespace::text from pg_class "
                    "where relnamespace::regnamespace::text !~ '^(pg_|information_schema)'"
                )
            )
            assert list(schemas.scalars()) == ["client_a"]


@pytest.mark.parametrize(
    ("revision", "advice"),
    [("0009", f"needs {HEAD}. Run: acsync migrate"), ("9999", "Update acsync")],
)
def test_another_revision_is_refused_both_ways(
    database: Database, revision: str, advice: str
) -> None:
    """Old code on new tables is as wrong as new code on old tables."""
    require_current_schema(database)
    with database.begin() as connection:
        connection.execute(text(f"update ac_schema_revision set version_num = '{revision}'"))

    with pytest.raises((SchemaOutdated, SchemaTooNew), match=f"revision {revision}.*{advice}"):
        require_current_schema(database)


def test_newer_tables_are_not_migrated(database: Database) -> None:
    """An old container that starts late must not touch tables it does not know."""
    with database.begin() as connection:
        connection.execute(text("update ac_schema_revision set version_num = '9999'"))

    with pytest.raises(SchemaTooNew, match="Update acsync"):
        migrations.upgrade(database)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://me:s3cret@127.0.0.1:1/none",
        "postgresql+psycopg2://me:s3cret@127.0.0.1:1/none?nonsense=1",
        "postgresql+psycopg2://me:pass@s3cret@127.0.0.1/none",
        "postgresql+psycopg2://me@127.0.0.1:1/none?password=s3cret",
        "postgresql+psycopg2://me:s3cret@127.0.0.1:many/none",
    ],
)
def test_no_error_holds_the_password(url: str) -> None:
    """Errors go to logs, artifacts and chats."""
    with (
        pytest.raises(AcsyncError) as caught,
        closing(open_database(read_database_settings(POSTGRES_URL=url))) as database,
        database.begin(),
    ):
        pass

    assert "s3cret" not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert "POSTGRES_URL" in str(caught.value)


def test_urls_with_extras_of_hosters_work(database_url: str, postgres: Postgres) -> None:
    """Vercel, Supabase and Prisma print URLs that libpq refuses."""
    database = postgres.open(f"{database_url}&pgbouncer=true&supa=base-pooler.x")

    with closing(database):
        require_current_schema(database)


def test_two_starts_of_the_embedded_postgres_find_one_server(tmp_path: Path) -> None:
    """A sync and a status page start together on a machine without Postgres."""
    # A path may have a blank, as in "Application Support" on macOS.
    data_dir = tmp_path / "user data" / "acsync"
    urls: list[str] = []
    threads = [
        threading.Thread(target=lambda: urls.append(start_embedded(data_dir))) for _ in range(3)
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        command = psql_command(data_dir)
    finally:
        stop_embedded(data_dir)

    assert urls == [urls[0]] * 3
    assert command.endswith("-U postgres acsync")


def test_a_server_is_started_only_for_those_who_ask(tmp_path: Path) -> None:
    """A check looks for a running server; the dashboard shows the psql of the embedded one."""
    settings = read_database_settings(POSTGRES_URL=None, ACSYNC_DATA_DIR=tmp_path)

    unstarted = with_database_url(settings, start=False)
    try:
        started = with_database_url(settings)
        looked_up = with_database_url(settings, start=False)
        with closing(open_database(started)) as database:
            line, command = psql_line(started, database), psql_command(tmp_path)
    finally:
        stop_embedded(tmp_path)

    assert (unstarted, looked_up) == (settings, started)
    assert line == command
    assert not is_embedded(started), "it is stopped"
    with pytest.raises(StoreError, match="start the embedded one with: acsync migrate"):
        open_database(unstarted)


def test_an_embedded_postgres_starts_where_a_crash_left_the_number_of_another_program(
    tmp_path: Path,
) -> None:
    """The pid in the file now belongs to another program, in this test to pytest."""
    url = start_embedded(tmp_path)
    stop_embedded(tmp_path)
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        (tmp_path / "postgres" / name).write_text(f"{os.getpid()}\n")
    try:
        again = start_embedded(tmp_path)
    finally:
        stop_embedded(tmp_path)

    assert again == url
