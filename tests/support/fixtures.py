"""Fixtures of integration tests and drills: a real Postgres, a real Prefect server, an account.

A test run has one server of each, and each test a fresh database.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import httpx
import pytest
from prefect.client.schemas.objects import State
from prefect.logging.handlers import APILogHandler
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOGGING_LEVEL,
    temporary_settings,
)

from acsync.datasets import DatasetName
from acsync.results import SyncResult
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database
from flows.sync_activecampaign import sync_activecampaign
from tests.support.postgres import Postgres, running_postgres
from tests.support.prefect_server import PatientTransport, forget, prefect_server
from tests.support.syncs import run_sync

# Runs the flow in this process, and returns its final state.
Sync: TypeAlias = Callable[..., State[Any]]

# Seconds before a wrong total is read again; the product waits for seconds.
SHORT_PAUSES = (0.01, 0.01, 0.01)

# Runs one sync without Prefect, and returns its result.
CopyAccount: TypeAlias = Callable[..., SyncResult]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return an empty folder for this test.

    At its start, each test run closes pytest's own folders to other users. As root, Postgres runs
    as another user, so a second test run would lock the first one out.
    """
    with TemporaryDirectory(prefix="acsync-") as folder:
        # As root, an embedded Postgres runs as a user who must be able to enter its folder.
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run one server for the whole run."""
    with (
        TemporaryDirectory(prefix="acsync-") as folder,
        running_postgres(Path(folder)) as server,
    ):
        yield server


@pytest.fixture
def database_url(postgres: Postgres) -> str:
    """Return the URL of a fresh, migrated database; it goes with the server."""
    return postgres.create("template_migrated")


@pytest.fixture
def database(postgres: Postgres, database_url: str) -> Iterator[Database]:
    """Open the fresh, migrated database."""
    with closing(postgres.open(database_url)) as opened:
        yield opened


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[Database]:
    """Open a fresh database without any table of acsync."""
    with closing(postgres.open(postgres.create("template1"))) as opened:
        yield opened


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one Prefect server for the whole run, and point this process at it."""
    home = tmp_path_factory.mktemp("prefect")
    with prefect_server(home) as url:
        updates = {PREFECT_API_URL: url, PREFECT_HOME: home, PREFECT_LOGGING_LEVEL: "CRITICAL"}
        with temporary_settings(updates):
            yield url
            APILogHandler().flush()


@pytest.fixture
def api(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """Point commands at the Prefect server, with nothing deployed there, before and after."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.delenv("ACSYNC_ALERT_URL", raising=False)
    with httpx.Client(base_url=prefect_api, timeout=60, transport=PatientTransport()) as client:
        forget()
        yield client
        forget()


@pytest.fixture
def options() -> AccountOptions:
    """Use an account of several slices; tests can parametrize another one."""
    return AccountOptions(contacts=700, deals=600, rate_limit=None)


@pytest.fixture
def account(options: AccountOptions) -> Account:
    """Create the simulated account."""
    return Account(options)


@pytest.fixture
def served_account(
    account: Account, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """Serve the account, and set this process's environment as a worker's is."""
    with serve(account) as url:
        monkeypatch.setenv("AC_API_URL", url)
        monkeypatch.setenv("AC_API_KEY", account.options.api_key)
        monkeypatch.setenv("POSTGRES_URL", database_url)
        monkeypatch.setenv("LIMIT_PER_PAGE", "20")
        monkeypatch.setenv("AC_RATE_LIMIT", "100")
        yield account


@pytest.fixture
def copy_account(
    served_account: Account,  # noqa: ARG001  # what is copied, by the environment
) -> CopyAccount:
    """Return a function that runs the steps of a sync without Prefect, with short pauses."""

    def copy(only: DatasetName | None = None, **options: Any) -> SyncResult:
        settings = read_settings()
        datasets = (only,) if only else settings.datasets
        return run_sync(settings, datasets, **{"recount_pauses": SHORT_PAUSES} | options)

    return copy


@pytest.fixture
def sync(
    served_account: Account,  # noqa: ARG001  # what is copied, by the environment
    prefect_api: str,  # noqa: ARG001  # the server that the flow finds in Prefect's settings
) -> Sync:
    """Return the flow, set up as in a worker."""
    return lambda *args, **options: sync_activecampaign(*args, **options, return_state=True)


@pytest.fixture
def served(sync: Sync, prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Sync:
    """Point processes at the served account, the fresh database and the Prefect server."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    return sync
