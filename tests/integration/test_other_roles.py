"""Only roles with a deliberate grant can read or write the tables."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

import migrations
from acsync.preflight.check_result import CheckResult
from acsync.preflight.database_checks import check_database
from acsync.settings import read_database_settings
from acsync.store.database import Database
from tests.support.postgres import UserDatabase, execute, upgrade_to, url_of
from tests.support.syncs import fetch

# Hosts grant this to the roles of their public API, and some people to everybody.
BY_DEFAULT = """
    grant usage on schema public to anon, authenticated;
    alter default privileges in schema public grant all on tables to anon, authenticated, public;
    alter default privileges in schema public grant all on sequences to anon, authenticated;
    alter default privileges in schema public grant all on functions to anon, authenticated;
"""
RIGHTS_OF_OTHERS = """
    select distinct relname, case grantee when 0 then 'PUBLIC' else pg_get_userbyid(grantee) end,
        privilege_type
    from pg_class, aclexplode(relacl)
    where relnamespace = 'public'::regnamespace and grantee <> relowner
    union all
    select proname, case grantee when 0 then 'PUBLIC' else pg_get_userbyid(grantee) end,
        privilege_type
    from pg_proc, aclexplode(proacl)
    where pronamespace = 'public'::regnamespace and prosecdef and grantee <> proowner
    order by 1, 2, 3
"""


RIGHTS = "select, insert, update, delete, truncate"


@pytest.fixture
def hosted(empty_database: Database) -> Iterator[Database]:
    """Create an empty database as hosts do; its roles are dropped at the end."""
    names = ("anon", "authenticated", "acsync_sync", "acsync_reader")
    for name in names:
        execute(empty_database, f"create role {name} login")
    execute(empty_database, BY_DEFAULT)
    yield empty_database
    execute(empty_database, f"drop owned by {', '.join(names)}; drop role {', '.join(names)}")


def rights_of_others(database: Database) -> list[tuple[str, str, str]]:
    return [(row[0], row[1], row[2]) for row in fetch(database, RIGHTS_OF_OTHERS)]


def other_roles(database: Database, role: str = "postgres") -> CheckResult:
    """Return the result of `acsync check` for other roles."""
    settings = read_database_settings(POSTGRES_URL=url_of(database, role))
    results = {result.check: result for result in check_database(settings)}
    return results["other roles"]


def test_default_privileges_open_no_new_table(hosted: Database) -> None:
    """No table, view or sequence is opened, nor the function that runs as its owner."""
    migrations.upgrade(hosted)

    assert rights_of_others(hosted) == []
    assert other_roles(hosted) == CheckResult(
        "other roles", "ok", "No other role can reach the data."
    )


def test_the_printed_sql_opens_no_table_either(hosted: Database) -> None:
    """A DBA may run it with psql."""
    host, name = hosted.engine.url.query["host"], hosted.engine.url.database
    execute(hosted, "create table ac_of_somebody (id integer)")
    with closing(psycopg2.connect(host=host, user="postgres", dbname=name)) as connection:
        connection.autocommit = True
        connection.cursor().execute(migrations.sql("public"))

    assert {name for name, _, _ in rights_of_others(hosted)} == {"ac_of_somebody"}


def test_grants_made_on_purpose_survive_each_migration(hosted: Database) -> None:
    """A later revision keeps the grants of the syncs' role and of readers."""
    upgrade_to(hosted, "0011")
    execute(
        hosted,
        f"grant {RIGHTS} on all tables in schema public to acsync_sync;"
        "grant execute on function ac_update_wide_view to acsync_sync;"
        "grant select on ac_contacts, ac_deals to acsync_reader, anon",
    )
    granted = rights_of_others(hosted)

    migrations.upgrade(hosted)
    migrations.upgrade(hosted)

    assert rights_of_others(hosted) == granted


def test_an_open_database_loses_the_rights_to_write(hosted: Database) -> None:
    """No public API should write here. Reading may be deliberate."""
    upgrade_to(hosted, "0011")
    execute(
        hosted,
        "grant all on all tables in schema public to anon, authenticated, public;"
        "grant all on all sequences in schema public to anon;"
        "grant all on function ac_update_wide_view to anon;",
    )

    migrations.upgrade(hosted)

    assert {(role, right) for _, role, right in rights_of_others(hosted)} == {
        ("anon", "SELECT"), ("authenticated", "SELECT"), ("PUBLIC", "SELECT"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("grant", "seen"),
    [
        ("select on all tables in schema public to anon", "anon may read the data"),
        ("select on ac_contacts to public", "PUBLIC may read the data"),
        ("delete on ac_contact_versions to acsync_sync", "acsync_sync may read and change"),
        ("update on ac_sync_logs_id_seq to acsync_reader", "acsync_reader may read and change"),
        ("trigger on ac_lease to acsync_reader", "acsync_reader may read and change"),
        ("select on ac_contacts to authenticated", "authenticated may read the data, by default"),
    ],
)
def test_roles_that_can_reach_the_data_are_warned_of(
    hosted: Database, grant: str, seen: str
) -> None:
    """The statement of the remedy closes the access."""
    migrations.upgrade(hosted)
    execute(hosted, f"grant {grant}")

    before = other_roles(hosted)
    execute(hosted, before.remedy.partition("as the owner: ")[2])

    assert (before.status, before.seen.startswith(seen)) == ("warning", True), before
    assert other_roles(hosted).status == "ok"
    assert rights_of_others(hosted) == []


def test_readers_on_purpose_and_the_own_role_are_no_warning(hosted: Database) -> None:
    """The result names them, so that people can see who reads."""
    migrations.upgrade(hosted)
    execute(
        hosted,
        f"grant {RIGHTS} on all tables in schema public to acsync_sync;"
        "grant execute on function ac_update_wide_view to acsync_sync;"
        "grant select on ac_contacts to acsync_reader",
    )

    assert other_roles(hosted, "acsync_sync") == CheckResult(
        "other roles", "ok", "acsync_reader may read the data."
    )


def test_a_schema_that_only_acsync_uses_is_closed(hosted: Database) -> None:
    """Without usage of the schema, a role cannot reach its tables."""
    engine = hosted.engine.execution_options(schema_translate_map={None: "acsync"})
    database = UserDatabase(engine, "acsync")
    migrations.upgrade(database)
    execute(database, "grant select on all tables in schema acsync to anon")

    settings = read_database_settings(
        POSTGRES_URL=url_of(hosted, "postgres"), ACSYNC_SCHEMA="acsync"
    )
    results = {result.check: result for result in check_database(settings)}
    assert results["other roles"].status == "ok"


@pytest.mark.parametrize("role", ["PUBLIC", "anon"])
def test_roles_that_may_create_in_the_schema_are_warned_of(hosted: Database, role: str) -> None:
    """Before PostgreSQL 15, everybody could create objects in `public`."""
    settings = read_database_settings(POSTGRES_URL=url_of(hosted, "postgres"))
    execute(hosted, f"grant create on schema public to {role}")

    before = {result.check: result for result in check_database(settings)}["schema rights"]
    execute(hosted, before.remedy.removeprefix("As its owner: "))

    assert before.status == "warning"
    assert before.seen == f"{role} may create tables and functions in the schema public."
    assert "schema rights" not in {result.check for result in check_database(settings)}
