"""Everything works through a pooler and over TLS, so nothing depends on the session."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import make_url

from acsync.local.embedded_postgres import USER
from acsync.simulator.account import Account
from tests.support.commands import acsync
from tests.support.debian import pgbouncer, tls_postgres
from tests.support.fixtures import Sync
from tests.support.postgres import Postgres
from tests.support.syncs import assert_exact, fetch

ENCRYPTED = """
    select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)
    where application_name = 'acsync'
"""


CHECKS_OF_POSTGRES = ("Postgres", "schema", "rights")


@pytest.fixture
def pooled_url(postgres: Postgres) -> Iterator[str]:
    """Start PgBouncer in front of an empty database, in a folder that its user can read."""
    url = make_url(postgres.create("template1"))
    folder = Path(mkdtemp(prefix="acsync-pooler-"))
    folder.chmod(0o755)
    with pgbouncer(folder, str(url.query["host"])) as place:
        yield f"postgresql+psycopg2://{USER}@{place}/{url.database}?pgbouncer=true"
    shutil.rmtree(folder)


@pytest.fixture
def tls_url() -> Iterator[str]:
    """Run a PostgreSQL that refuses connections without TLS."""
    with tls_postgres() as url:
        yield f"{url}?sslmode=require"


def require_everything_works(
    url: str, sync: Sync, account: Account, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[str]]:
    """Migrate, sync, change, sync again, query and check through this URL."""
    monkeypatch.setenv("POSTGRES_URL", url)
    migrated = acsync("migrate")
    assert migrated.returncode == 0, migrated.stderr

    assert sync().is_completed()
    account.change("contacts", 5)
    account.delete("deals", 2)
    assert sync().is_completed()

    status = acsync("status", "--max-age", "5m")
    assert status.returncode == 0, status.stderr
    checked = acsync("check", COLUMNS="400")
    assert checked.returncode == 0, checked.stdout
    return {name: row for name, row in rows_of(checked.stdout) if name in CHECKS_OF_POSTGRES}


def rows_of(table: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each check of the table by name, with its result, finding and remedy."""
    for line in table.splitlines():
        if line.startswith("│"):
            name, *row = (cell.strip() for cell in line.strip("│").split("│"))
            yield name, row


def test_everything_works_through_a_pooler_in_transaction_mode(
    pooled_url: str,
    sync: Sync,
    account: Account,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With PgBouncer, Neon or Supabase, each transaction can run on another connection."""
    checked = require_everything_works(pooled_url, sync, account, monkeypatch)

    assert {name: row[0] for name, row in checked.items()} == dict.fromkeys(
        CHECKS_OF_POSTGRES, "ok"
    )
    with closing(postgres.open(pooled_url)) as database:
        assert_exact(database, account)


def test_everything_works_over_tls(
    tls_url: str,
    sync: Sync,
    account: Account,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`sslmode=require` in the URL is kept, and every connection is encrypted."""
    checked = require_everything_works(tls_url, sync, account, monkeypatch)

    assert checked["Postgres"][1].endswith("at 127.0.0.1/postgres, over TLS.")
    with closing(postgres.open(tls_url)) as database:
        assert_exact(database, account)
        assert fetch(database, ENCRYPTED) == [(True,)]
