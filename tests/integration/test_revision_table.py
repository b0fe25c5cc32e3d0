"""acsync and another program with Alembic can share a schema, whichever comes first."""

from contextlib import closing
from pathlib import Path

import httpx
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

import migrations
from acsync.errors import LeaseHeld, SchemaOutdated, SchemaTooNew
from acsync.settings import read_database_settings
from acsync.store.database import Database, open_database, require_current_schema
from tests.support.commands import acsync
from tests.support.postgres import Postgres, execute, upgrade_to, url_of
from tests.support.prefect_server import prefect_server
from tests.support.syncs import RUNNING, fetch

REVISIONS_OF_OTHERS = ("ae1027a6acf5", "0005", "0009", "00a1b2c3d4e5")
OTHER_ENV = """
from alembic import context
context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema=context.config.attributes["schema"],
)
with context.begin_transaction():
    context.run_migrations()
"""
OTHER_REVISION = """
from alembic import op
revision, down_revision = "{revision}", None
def upgrade():
    op.execute("create table {schema}.other_program (id integer)")
"""


def upgrade_other_program(folder: Path, database: Database, revision: str) -> None:
    """Upgrade the other program to its only revision, as its own Alembic does."""
    (folder / "versions").mkdir(parents=True, exist_ok=True)
    (folder / "env.py").write_text(OTHER_ENV)
    script = OTHER_REVISION.format(revision=revision, schema=database.schema)
    (folder / "versions" / "only.py").write_text(script)
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = database.schema
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@pytest.fixture
def old_database(empty_database: Database) -> Database:
    """Create revision 0009 as the last release did, in Alembic's usual table."""
    upgrade_to(empty_database, "0009")
    execute(
        empty_database,
        "alter table ac_schema_revision rename to alembic_version;"
        "alter index ac_schema_revision_pkc rename to alembic_version_pkc",
    )
    return empty_database


def other_revisions(database: Database) -> list[str]:
    return [row[0] for row in fetch(database, "select version_num from public.alembic_version")]


def table_of(database: Database) -> str | None:
    """Return Alembic's usual table if it exists."""
    name: str | None = fetch(database, "select to_regclass('public.alembic_version')::text")[0][0]
    return name


@pytest.mark.parametrize("revision", REVISIONS_OF_OTHERS)
def test_another_alembic_program_may_come_first(
    empty_database: Database, tmp_path: Path, revision: str
) -> None:
    """Even if one of its revisions has the name of one of acsync's."""
    upgrade_other_program(tmp_path, empty_database, revision)

    before, after = migrations.upgrade(empty_database)

    assert (before, after) == (None, migrations.HEAD)
    require_current_schema(empty_database)
    assert other_revisions(empty_database) == [revision]
    assert migrations.upgrade(empty_database) == (migrations.HEAD, migrations.HEAD)


@pytest.mark.parametrize("revision", REVISIONS_OF_OTHERS)
def test_another_alembic_program_may_come_second(
    database: Database, tmp_path: Path, revision: str
) -> None:
    upgrade_other_program(tmp_path, database, revision)

    require_current_schema(database)
    assert migrations.upgrade(database) == (migrations.HEAD, migrations.HEAD)
    assert other_revisions(database) == [revision]


@pytest.mark.parametrize("revision", REVISIONS_OF_OTHERS)
def test_another_program_is_not_taken_for_acsync(
    empty_database: Database, tmp_path: Path, revision: str
) -> None:
    """The next step is `acsync migrate`, not an update of acsync."""
    upgrade_other_program(tmp_path, empty_database, revision)

    with pytest.raises(SchemaOutdated, match=r"no acsync tables yet\. Run: acsync migrate"):
        require_current_schema(empty_database)


def test_an_old_database_is_sent_to_migrate(old_database: Database) -> None:
    """It has its revision in Alembic's usual table."""
    with pytest.raises(SchemaOutdated, match=r"is at revision 0009.*Run: acsync migrate"):
        require_current_schema(old_database)


def test_an_old_database_drops_the_usual_table(old_database: Database, tmp_path: Path) -> None:
    """Another program can then create it with its own index."""
    assert migrations.upgrade(old_database) == ("0009", migrations.HEAD)

    require_current_schema(old_database)
    assert table_of(old_database) is None
    upgrade_other_program(tmp_path, old_database, "ae1027a6acf5")
    require_current_schema(old_database)


def test_the_revision_keeps_its_grants(old_database: Database, postgres: Postgres) -> None:
    """The role of the syncs can read it after the upgrade, as before."""
    role = f"syncs_{len(postgres.made)}"
    postgres.execute(f"create role {role} login")
    execute(old_database, f"grant select on all tables in schema public to {role}")

    migrations.upgrade(old_database)

    settings = read_database_settings(POSTGRES_URL=url_of(old_database, role))
    with closing(open_database(settings)) as database:
        require_current_schema(database)


def test_a_shared_table_loses_only_the_row_of_acsync(old_database: Database) -> None:
    """The other program still finds its own revision there."""
    execute(old_database, "insert into alembic_version values ('ae1027a6acf5')")

    assert migrations.upgrade(old_database) == ("0009", migrations.HEAD)

    require_current_schema(old_database)
    assert other_revisions(old_database) == ["ae1027a6acf5"]


def test_an_old_database_is_not_migrated_during_a_sync(old_database: Database) -> None:
    """The migration would wait for the sync's statements."""
    fetch(old_database, RUNNING)

    with pytest.raises(LeaseHeld):
        migrations.upgrade(old_database)

    assert other_revisions(old_database) == ["0009"]


@pytest.mark.parametrize("revision", ["0099", "00a1b2c3d4e5", "ae1027a6acf5"])
def test_a_revision_that_acsync_does_not_know_is_newer(database: Database, revision: str) -> None:
    """Its name says nothing about its age."""
    execute(database, f"update ac_schema_revision set version_num = '{revision}'")

    with pytest.raises(SchemaTooNew, match=f"revision {revision}, newer.*Update acsync"):
        require_current_schema(database)
    with pytest.raises(SchemaTooNew, match="Update acsync"):
        migrations.upgrade(database)


@pytest.mark.parametrize("first", ["acsync", "Prefect"])
def test_prefects_server_and_acsync_share_one_database(
    postgres: Postgres, tmp_path: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect and acsync each need a Postgres, and one is enough."""
    url = postgres.create("template1")
    address = make_url(url).set(drivername="postgresql+asyncpg")
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", address.render_as_string(False))
    monkeypatch.setenv("POSTGRES_URL", url)
    if first == "acsync":
        assert acsync("migrate").returncode == 0

    with prefect_server(tmp_path / "prefect") as api:
        migrated = acsync("migrate")
        flows = httpx.post(f"{api}/flows/filter", json={})

    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert migrated.stdout.rstrip().endswith(f"revision {migrations.HEAD}.")
    assert flows.status_code == 200
    with closing(postgres.open(url)) as database:
        require_current_schema(database)
        assert table_of(database) == "alembic_version"
