"""`acsync check` names the settings of a Postgres that would break a sync."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import make_url

import migrations
from acsync.errors import StoreError
from acsync.preflight.check_result import CheckResult
from acsync.preflight.database_checks import check_database
from acsync.settings import read_database_settings, read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database
from tests.support.commands import acsync
from tests.support.fixtures import CopyAccount
from tests.support.postgres import Postgres, execute, url_of
from tests.support.syncs import assert_exact, run_sync

MakeDatabase: TypeAlias = Callable[[str], Database]


def check(database: Database, role: str = "postgres") -> dict[str, CheckResult]:
    settings = read_database_settings(POSTGRES_URL=url_of(database, role))
    return {result.check: result for result in check_database(settings)}


@pytest.fixture
def make_database(postgres: Postgres) -> MakeDatabase:
    """Create an empty database with an encoding; it goes with the server of this run."""

    def make(encoding: str) -> Database:
        name = f"in_{encoding.lower()}"
        postgres.execute(
            f"create database {name} template template0 encoding '{encoding}' locale 'C'"
        )
        url = make_url(postgres.url).set(database=name)
        return postgres.open(url.render_as_string(hide_password=False))

    return make


@pytest.fixture
def role(postgres: Postgres, database: Database) -> str:
    """Create a role with the documented grants for a sync."""
    name = f"syncs_{len(postgres.made)}"
    postgres.execute(f"create role {name} login")
    rights = "grant select, insert, update, delete, truncate on all tables in schema public"
    function = "grant execute on function ac_update_wide_view"
    execute(database, f"{rights} to {name}; {function} to {name}")
    return name


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252"])
def test_a_database_that_cannot_store_every_letter_is_refused(
    make_database: MakeDatabase, encoding: str
) -> None:
    """Each sync would fail at the first dash."""
    with closing(make_database(encoding)) as database:
        result = check(database)["encoding"]
        with pytest.raises(StoreError, match=f"encoding {encoding}.*encoding 'UTF8'"):
            migrations.upgrade(database)

    assert result.status == "problem"
    assert f"has the encoding {encoding}, not UTF8" in result.seen
    assert result.remedy.startswith("Create another with: create database")


def test_a_database_without_an_encoding_works_with_a_warning(
    make_database: MakeDatabase, account: Account
) -> None:
    """SQL_ASCII stores the bytes as they come, but refuses JSON with escaped letters."""
    with closing(make_database("SQL_ASCII")) as database, serve(account) as account_url:
        migrations.upgrade(database)
        settings = read_settings(
            AC_API_URL=account_url,
            AC_API_KEY=account.options.api_key,
            POSTGRES_URL=url_of(database, "postgres"),
        )

        assert run_sync(settings).success
        assert_exact(database, account)
        assert check(database)["encoding"].status == "warning"


def test_row_security_on_staging_is_a_problem(database: Database, role: str) -> None:
    """Postgres refuses COPY into a table with policies, whatever they allow."""
    tables = ("ac_staged_contacts", "ac_staged_deals")
    for table in tables:
        execute(
            database,
            f"alter table {table} enable row level security;"
            f"create policy everything on {table} using (true) with check (true)",
        )

    before = check(database, role)["row security"]
    execute(database, before.remedy.removeprefix("As the owner: "))

    assert before.status == "problem"
    assert before.seen == "Row security applies to ac_staged_contacts, ac_staged_deals."
    assert "row security" not in check(database, role)


def test_row_security_that_hides_the_revision_is_named(database: Database, role: str) -> None:
    """Without the row of the revision, the schema seems to have no tables."""
    execute(database, "alter table ac_schema_revision enable row level security")

    results = check(database, role)

    assert results["row security"].status == "warning"
    assert results["row security"].seen == "Row security applies to ac_schema_revision."
    assert check(database).get("row security") is None  # its owner sees every row


def test_a_published_table_without_replica_identity_is_named(database: Database) -> None:
    """Debezium publishes all tables, and Postgres then refuses to update this one."""
    execute(database, "create publication everything for all tables")
    execute(database, "alter table ac_deal_stages replica identity nothing")

    before = check(database)["publication"]
    execute(database, before.remedy.removeprefix("As the owner: "))

    assert before.status == "problem"
    assert "ac_deal_stages (publication everything)" in before.seen
    assert "publication" not in check(database)


@pytest.mark.parametrize(
    "query", ["client_encoding=latin1", "schema=public&connection_limit=1", "sslmode=prefer"]
)
def test_options_of_other_libraries_do_not_break_a_sync(
    copy_account: CopyAccount, database: Database, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names and addresses in an account use letters that no single old encoding has."""
    monkeypatch.setenv("POSTGRES_URL", f"{url_of(database, 'postgres')}&{query}")

    assert copy_account("contacts").success
    assert acsync("status").returncode == 0


@pytest.mark.parametrize("options", [AccountOptions(contacts=90, deals=80, rate_limit=None)])
def test_settings_of_a_role_do_not_break_a_sync(
    copy_account: CopyAccount,
    database: Database,
    role: str,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of its sessions begins with them, and the driver reads no interval in ISO 8601."""
    for setting in (
        "intervalstyle = iso_8601",
        "datestyle = German",
        "bytea_output = escape",
        "quote_all_identifiers = on",
        "standard_conforming_strings = off",
        "default_transaction_isolation = serializable",
    ):
        postgres.execute(f"alter role {role} set {setting}")
    monkeypatch.setenv("POSTGRES_URL", url_of(database, role))

    results = [copy_account(), copy_account()]
    status = acsync("status")
    export = acsync("export", "contacts", "--output", str(tmp_path / "contacts.xlsx"))

    assert all(result.success for result in results)
    assert (status.returncode, status.stderr) == (0, "")
    assert export.returncode == 0, export.stderr


def test_the_host_that_answers_is_used(database: Database) -> None:
    """Failover tools print all hosts, and the primary changes."""
    host, name = str(database.engine.url.query["host"]), database.engine.url.database
    hosts = f"127.0.0.1:1,{host.replace('/', '%2F')}:5432"
    url = f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write"

    done = acsync("migrate", POSTGRES_URL=url)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("query", ["nonsense=1", "port=many", "plugin=x", "host=a&host=b&port=1"])
def test_an_option_that_nobody_knows_is_one_paragraph(query: str) -> None:
    done = acsync("migrate", POSTGRES_URL=f"postgresql://me:pa55word@127.0.0.1:1/none?{query}")

    assert done.returncode == 1
    assert "POSTGRES_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert "pa55word" not in done.stderr
