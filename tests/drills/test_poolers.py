"""Hosted Postgres is reached through a pooler, over TLS: nothing may lean on the session."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import make_url

from acsync.simulator.account import Account
from acsync.store.embedded import USER
from tests.support import commands
from tests.support.fixtures import Sync
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import Postgres
from tests.support.store_syncs import fetch
from tests.support.sync_results import assert_exact
from tests.support.tls_postgres import tls_postgres

ENCRYPTED = """
    select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid)
    where application_name = 'acsync'
"""


@pytest.fixture
def pooled_url(postgres: Postgres) -> Iterator[str]:
    """Put PgBouncer in front of an empty database; its folder is open to its user."""
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
) -> None:
    """Migrate, sync, change, sync again and ask, all of it through this URL."""
    monkeypatch.setenv("POSTGRES_URL", url)
    migrated = commands.wait(commands.start("migrate"))
    assert migrated.returncode == 0, migrated.stderr

    assert sync().is_completed()
    account.change("contacts", 5)
    account.delete("deals", 2)
    assert sync().is_completed()

    status = commands.wait(commands.start("status", "--max-age", "5m"))
    assert status.returncode == 0, status.stderr


def test_everything_works_through_a_pooler_in_transaction_mode(
    pooled_url: str,
    sync: Sync,
    account: Account,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each transaction may run on another connection of PgBouncer, Neon or Supabase."""
    require_everything_works(pooled_url, sync, account, monkeypatch)

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
    require_everything_works(tls_url, sync, account, monkeypatch)

    with closing(postgres.open(tls_url)) as database:
        assert_exact(database, account)
        assert fetch(database, ENCRYPTED) == [(True,)]
