"""A crash costs at most the running sync, never the snapshot or the next sync."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from sqlalchemy import text

import migrations
from acsync.cli.sync import PREFECT_MISSED_IT
from acsync.datasets import DATASETS
from acsync.local.embedded_postgres import pg_ctl, start_embedded
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.requests import Call
from acsync.store.database import Database
from acsync.sync.context import open_sync
from acsync.sync.publish import publish
from acsync.sync.verify import Verified
from tests.support import commands
from tests.support.calls import in_copying, in_metadata, on_call
from tests.support.fixtures import CopyAccount, Sync
from tests.support.postgres import Postgres, own_postgres
from tests.support.prefect_server import free_port, prefect_server
from tests.support.syncs import EXPIRE, LEFT_OVERS, SNAPSHOT, assert_exact, fetch

WHOLE_WALK_CALLS = 210
"""The fewest calls for 3,600 records in pages of 20, with metadata, plans and seams."""

WAITING = """
    select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'acsync'
      and wait_event_type = 'Lock' and query like '%ac_published%'
"""


@pytest.fixture
def options() -> AccountOptions:
    """Use a small account, since each slice is a task of Prefect, with slices of two pages."""
    return AccountOptions(contacts=300, deals=110, rate_limit=None)


def change(account: Account) -> None:
    """Leave work of every kind for the next sync."""
    for name in DATASETS:
        account.add(name, 3)
        account.change(name, 5)
        account.delete(name, 2)


def die(account: Account, phase: Callable[[Call], bool], ending: signal.Signals) -> int:
    """Start a sync that gets a signal in a phase, and return its exit status."""
    process = commands.start("sync")
    on_call(account, phase, lambda: os.kill(process.pid, ending))
    return commands.wait(process).returncode


@contextmanager
def publishing_held(database: Database) -> Iterator[Callable[[], None]]:
    """Block publishing in the middle of its transaction, and yield the process that waits."""
    connection = database.engine.connect()
    connection.execute(text("lock table ac_published in share mode"))

    def wait_for_publishing() -> None:
        until = time.monotonic() + 60
        while fetch(database, WAITING) == [(0,)]:
            assert time.monotonic() < until, "the sync never came to publish"
            time.sleep(0.05)

    try:
        yield wait_for_publishing
    finally:
        connection.invalidate()
        connection.close()


def kill_listener(port: int) -> None:
    """Kill the process that listens on a port."""
    (listener,) = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.laddr
        and connection.laddr.port == port
        and connection.status == psutil.CONN_LISTEN
    }
    psutil.Process(listener).kill()


def require_clean_end(account: Account, database: Database) -> None:
    """Check that the copy is exact, and that nothing of the dead sync is left."""
    assert_exact(database, account)
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("phase", [in_metadata, in_copying])
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_killed_sync_leaves_the_snapshot_as_it_was(
    phase: Callable[[Call], bool],
    ending: signal.Signals,
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """Machines lose power, and platforms send SIGTERM with every deployment."""
    assert copy_account().success
    change(account)
    before = fetch(database, SNAPSHOT)

    assert die(account, phase, ending) != 0

    assert fetch(database, SNAPSHOT) == before
    if ending == signal.SIGKILL:
        fetch(database, EXPIRE)
    assert copy_account().success
    require_clean_end(account, database)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_sync_ended_while_publishing_has_published_nothing(
    ending: signal.Signals, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Nobody must ever see half of a publication."""
    assert copy_account().success
    change(account)
    before = fetch(database, SNAPSHOT)

    with publishing_held(database) as wait_for_publishing:
        process = commands.start("sync")
        wait_for_publishing()
        process.send_signal(ending)
    assert commands.wait(process).returncode != 0

    fetch(database, EXPIRE)
    assert fetch(database, SNAPSHOT) == before
    assert copy_account().success
    require_clean_end(account, database)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    "options", [AccountOptions(contacts=1800, deals=1800, rate_limit=None)], ids=["many slices"]
)
def test_a_retry_does_not_copy_again_what_is_staged(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Otherwise a worker that restarts often would begin at zero each time and never finish."""
    assert die(account, lambda call: call.number == 170, signal.SIGKILL) == -signal.SIGKILL
    ((slices, pages),) = fetch(database, "select count(*), sum(records) / 20 from ac_staged_slices")
    fetch(database, EXPIRE)
    change(account)
    before = account.statistics.calls

    assert copy_account().success

    assert slices > 4
    # Slow answers cut what is left into shorter slices, and each of them takes a call more.
    assert account.statistics.calls - before < WHOLE_WALK_CALLS - 3 * pages // 4
    assert copy_account().success
    require_clean_end(account, database)


@pytest.fixture(scope="module")
def own_server() -> Iterator[Path]:
    """Run a Postgres that only these tests crash, and return its folder."""
    with TemporaryDirectory(prefix="acsync-") as folder, own_postgres(Path(folder)):
        yield Path(folder)


@pytest.fixture
def own_database(
    own_server: Path,
    postgres: Postgres,
    sync: Sync,  # noqa: ARG001  # its database is the one replaced here
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Database]:
    """Empty that server, and use it instead of the shared database."""
    url = start_embedded(own_server)
    monkeypatch.setenv("POSTGRES_URL", url)
    with closing(postgres.open(url)) as database:
        fetch(database, "drop schema public cascade")
        migrations.upgrade(database)
        yield database


@pytest.mark.parametrize(
    ("phase", "mode"),
    [(in_metadata, "immediate"), (in_copying, "fast"), (in_copying, "immediate")],
)
def test_a_postgres_that_restarts_is_waited_for(
    *,
    phase: Callable[[Call], bool],
    mode: str,
    sync: Sync,
    copy_account: CopyAccount,
    account: Account,
    own_database: Database,
    own_server: Path,
) -> None:
    """A crash empties the unlogged staging tables. The sync sees a gap and reads it again."""
    assert copy_account().success
    change(account)
    on_call(account, phase, lambda: pg_ctl(own_server, "-m", mode, "restart"))

    assert sync().is_completed()
    assert account.faults.hits["hook"]
    require_clean_end(account, own_database)


def test_a_postgres_that_crashes_while_publishing_costs_that_sync(
    sync: Sync,
    copy_account: CopyAccount,
    account: Account,
    own_database: Database,
    own_server: Path,
) -> None:
    """The whole transaction is undone, and so is the lock that holds it in this test."""
    assert copy_account().success
    change(account)
    before = fetch(own_database, SNAPSHOT)

    with publishing_held(own_database) as wait_for_publishing, ThreadPoolExecutor() as pool:
        crashed = pool.submit(copy_context().run, sync)
        wait_for_publishing()
        pg_ctl(own_server, "-m", "immediate", "restart")
        assert crashed.result().is_failed()

    assert fetch(own_database, SNAPSHOT) == before
    fetch(own_database, EXPIRE)
    assert copy_account().success
    require_clean_end(account, own_database)


def test_staging_emptied_before_publishing_is_no_empty_account(
    copy_account: CopyAccount, database: Database
) -> None:
    """Publishing counts the staged rows again. Otherwise it would delete every record."""
    assert copy_account().success
    before = fetch(database, SNAPSHOT)

    with open_sync(read_settings(), ("contacts",), holder="a test") as context:
        verified = Verified("contacts", records=300, cleaned=0, duration_ms=1)
        result = publish(context, [verified], {})

    assert "Of 300 contacts that were staged, 0 are left" in str(result.datasets["contacts"].error)
    assert fetch(database, SNAPSHOT) == before


def test_a_prefect_server_that_restarts_while_copying_costs_nothing(
    served_account: Account,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data is complete. Only Prefect's own record of the run has gaps."""
    port, copying = free_port(), threading.Event()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    on_call(served_account, in_copying, copying.set)
    with prefect_server(tmp_path, port):
        process = commands.start("sync")
        assert copying.wait(60)
    with prefect_server(tmp_path, port):
        done = commands.wait(process)

    assert done.returncode == 0, done.stderr
    assert_exact(database, served_account)
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]


def test_losing_the_prefect_server_at_the_end_costs_no_data(
    served_account: Account,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sync is published by then. Prefect's client retries three calls, a minute each."""
    port = free_port()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "1")
    with publishing_held(database) as wait_for_publishing, prefect_server(tmp_path, port):
        process = commands.start("sync")
        wait_for_publishing()
        # A polite end can take longer than the sync waits for a lock.
        kill_listener(port)

    done = commands.wait(process)

    assert (done.returncode, done.stderr) == (0, PREFECT_MISSED_IT)
    complete = r"^sync-\d+: complete after [\d.]+ s; 300 contacts; 110 deals$"
    assert re.search(complete, done.stdout, re.MULTILINE)
    assert_exact(database, served_account)
    assert fetch(database, "select overall_success from ac_sync_logs") == [(True,)]
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]


def test_a_missing_prefect_server_is_reported_in_one_paragraph(
    served: Sync,  # noqa: ARG001  # its account and database are what the command uses
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong PREFECT_API_URL is the likeliest mistake of the first day."""
    url = f"http://127.0.0.1:{free_port()}/api"
    monkeypatch.setenv("PREFECT_API_URL", url)

    done = commands.acsync("sync")

    assert done.returncode == 1
    assert done.stderr.startswith(f"Prefect's API at {url} does not answer")
    assert done.stderr.count("\n") == 1
    assert fetch(database, "select count(*) from ac_sync_logs") == [(0,)]
