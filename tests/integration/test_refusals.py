"""Every refusal of Postgres is reported with the next step."""

from contextlib import closing

import pytest
from sqlalchemy import Connection

from acsync.errors import StoreError
from acsync.settings import read_database_settings
from acsync.store.database import Database, open_database, run
from tests.support.postgres import Postgres, execute, url_of

RAISE = "do $$ begin raise exception 'refused' using errcode = '{code}'; end $$"


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("25006", "Set POSTGRES_URL to the primary"),
        ("25P04", "The server's transaction_timeout ended it"),
        ("25P03", "idle_in_transaction_session_timeout"),
        ("42501", "Run: acsync check"),
        ("42P07", "set ACSYNC_SCHEMA to a schema that only acsync uses"),
        ("53100", "The disk of Postgres is full: free or add space"),
        ("55000", "Run: acsync check"),
        ("57014", "longer than ten minutes"),
    ],
)
def test_each_foreseeable_refusal_has_a_next_step(
    database: Database, code: str, remedy: str
) -> None:
    with pytest.raises(StoreError, match=rf"SQLSTATE {code}") as refusal:
        execute(database, RAISE.format(code=code))

    assert remedy in refusal.value.remedy


def test_a_transaction_timeout_names_its_setting(database: Database) -> None:
    """The message must not say that the server cannot be reached."""
    with pytest.raises(StoreError, match="transaction_timeout") as refusal:
        execute(database, "set local transaction_timeout = '100ms'; select pg_sleep(2)")

    assert "cannot be reached" not in str(refusal.value)


def test_a_timeout_of_the_role_ends_no_transaction(database: Database, postgres: Postgres) -> None:
    """Hosts set timeouts for all roles, but staging and publishing take longer."""
    role = f"limited_{len(postgres.made)}"
    postgres.execute(f"create role {role} login")
    postgres.execute(f"alter role {role} set transaction_timeout = '300ms'")
    settings = read_database_settings(POSTGRES_URL=url_of(database, role))

    with closing(open_database(settings)) as limited, limited.begin() as connection:
        run(connection, "select pg_sleep(1)")
        assert run(connection, "show transaction_timeout").scalar_one() == "0"


def test_a_broken_connection_does_not_blame_the_url(database: Database) -> None:
    """The server was reached, so POSTGRES_URL is right."""
    with pytest.raises(StoreError) as refusal, database.begin() as connection:
        _end_and_use(database, connection)

    assert "POSTGRES_URL" not in str(refusal.value)
    assert "Nothing of that transaction was kept. " in str(refusal.value)
    assert refusal.value.remedy


def _end_and_use(database: Database, connection: Connection) -> None:
    pid = run(connection, "select pg_backend_pid()").scalar_one()
    execute(database, f"select pg_terminate_backend({pid}, 5000)")
    run(connection, "select 1")
