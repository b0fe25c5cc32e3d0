"""The stack of compose.yaml on a real engine: it comes up, syncs, survives, and loses nothing."""

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from acsync.datasets import DATASETS
from acsync.settings import read_database_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database
from tests.support.calls import in_copying, on_call
from tests.support.commands import wait_for
from tests.support.docker import (
    HEALTH,
    PASSWORD,
    SERVICES,
    Stack,
    build_image,
    compose_stack,
    docker_engine,
)
from tests.support.syncs import EXPIRE, assert_exact, fetch, last_log

POSTGRES_URL = "postgresql://acsync@127.0.0.1:5432/acsync"


@pytest.fixture(scope="module")
def account() -> Account:
    """Return an account whose sync takes long enough to be stopped in the middle."""
    return Account(
        AccountOptions(contacts=2_000, deals=1_500, rate_limit=None, latency_seconds=0.2)
    )


@pytest.fixture(scope="module")
def stack(account: Account) -> Iterator[Stack]:
    """Build the image, and bring the stack up on an engine of this module alone."""
    with docker_engine() as engine, serve(account) as url, TemporaryDirectory() as folder:
        build_image(engine)
        environment = (
            f"AC_API_URL={url}\nAC_API_KEY={account.options.api_key}\n"
            "AC_RATE_LIMIT=100\nLIMIT_PER_PAGE=20\n"
        )
        with compose_stack(engine, Path(folder), environment) as stack:
            stack.compose("up", "--detach", seconds=600)
            yield stack


@pytest.fixture
def database(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """Open the database of the stack."""
    stack.wait_until_healthy()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with closing(open_database(read_database_settings(POSTGRES_URL=POSTGRES_URL))) as opened:
        yield opened


def wait_for_sync(database: Database, after: int = 0) -> None:
    """Wait for a complete sync with a higher number than `after`."""
    sql = f"select id from ac_sync_logs where overall_success and id > {after}"
    wait_for("a complete sync", lambda: fetch(database, sql), seconds=300)


def wait_for_copying(stack: Stack, account: Account) -> None:
    """Start a sync, and wait until it reads slices."""
    reached = threading.Event()
    on_call(account, in_copying, reached.set)
    stack.start_sync()
    assert reached.wait(120)


def test_the_stack_comes_up_and_syncs(stack: Stack, database: Database, account: Account) -> None:
    """The first sync starts at once, not at the next quarter of an hour."""
    wait_for_sync(database)

    started = datetime.fromisoformat(stack.inspect("postgres", ".State.StartedAt"))
    seconds = (last_log(database)["finished_at"] - started).total_seconds()
    print(f"{seconds:.0f} s from the start of Postgres to the first complete sync")  # noqa: T201
    assert seconds < 300
    assert stack.inspect("setup", ".State.ExitCode") == "0"
    assert_exact(database, account)


def test_a_worker_that_is_stopped_closes_the_row_of_its_sync(
    stack: Stack, database: Database, account: Account
) -> None:
    """Every upgrade stops it, and a lease that stays would keep the next worker from syncing."""
    wait_for_copying(stack, account)

    stack.compose("stop", "worker")

    assert stack.inspect("worker", ".State.ExitCode") == "0"
    assert last_log(database)["overall_success"] is False
    assert fetch(database, "select sync_no, holder from ac_lease") == [(None, None)]
    stack.compose("start", "worker")


def test_a_container_of_one_run_is_healthy_and_removed(
    stack: Stack, database: Database, account: Account
) -> None:
    """Work pools of the type docker start one per sync, 96 a day."""
    before = stack.engine.leftovers()
    stack.compose("stop", "worker")
    reached, released = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        released.wait(60)

    on_call(account, in_copying, hold)
    run = stack.start_sync()

    stack.run_alone("one-run", "prefect", "flow-run", "execute", PREFECT__FLOW_RUN_ID=run)
    assert reached.wait(60)
    wait_for("a healthy run", lambda: stack.engine.inspect("one-run", HEALTH) == "healthy")
    released.set()
    wait_for_sync(database, after=last_log(database)["id"] - 1)

    wait_for("its end", lambda: stack.engine.leftovers() == before)
    stack.compose("start", "worker")


def test_every_service_that_restarts_or_crashes_comes_back(
    stack: Stack, database: Database, account: Account
) -> None:
    """The worker crashes in the middle of a sync, whose lease expires."""
    for service in SERVICES:
        stack.compose("restart", service)
    stack.wait_until_healthy()
    wait_for_copying(stack, account)
    for service in ("worker", "dashboard", "prefect", "postgres"):
        stack.kill(service)
    stack.wait_until_healthy()
    fetch(database, EXPIRE)
    for name in DATASETS:
        account.change(name, 50)
    crashed = last_log(database)["id"]

    stack.start_sync()

    wait_for_sync(database, after=crashed)
    assert_exact(database, account)


def test_nothing_is_left_when_the_stack_goes_down(
    stack: Stack, database: Database, account: Account
) -> None:
    """The worker stops first, so its sync ends in time. Only data with a name stays."""
    wait_for_copying(stack, account)
    stack.compose("stop")
    status = stack.inspect("worker", ".State.ExitCode")
    database.close()

    stack.compose("down")
    kept = stack.engine.leftovers()
    stack.compose("down", "--volumes")

    assert status == "0"
    assert (kept["containers"], len(kept["volumes"])) == ([], 2)
    assert stack.engine.leftovers() == {"containers": [], "volumes": []}
