"""What dies in the middle of a sync costs that sync at most: never the snapshot, nor the next."""

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
from acsync.settings import read_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.requests import Call
from acsync.store.database import Database
from acsync.sync.context import open_sync
from acsync.sync.publish import publish
from acsync.sync.verify import Verified
from tests.support import commands
from tests.support.calls import in_copying, in_metadata, on_call
from tests.support.fixtures import Sync
from tests.support.own_postgres import Mode, OwnPostgres, own_postgres
from tests.support.postgres import Postgres
from tests.support.prefect_server import free_port, prefect_server
from tests.support.store_syncs import EXPIRE, fetch
from tests.support.sync_results import LEFT_OVERS, SNAPSHOT, assert_exact

WHOLE_WALK_CALLS = 210
"""What 3,600 records in pages of 20 take at least, metadata, plans and seams included."""

WAITING = """
    select count(*) from pg_stat_activity
    where datname = current_database() and application_name = 'acsync'
      and wait_event_type = 'Lock' and query like '%ac_published%'
"""


def change(account: Account) -> None:
    """Leave the next sync something of everything to do."""
    for name in DATASETS:
        account.add(name, 3)
        account.change(name, 5)
        account.delete(name, 2)


def die(account: Account, phase: Callable[[Call], bool], ending: signal.Signals) -> int:
    """Start a sync that gets a signal in a phase, and give its exit status."""
    process = commands.start("sync")
    on_call(account, phase, lambda: os.kill(process.pid, ending))
    return commands.wait(process).returncode


@contextmanager
def publishing_held(database: Database) -> Iterator[Callable[[], None]]:
    """Hold publishing back in the middle of its transaction, and give what waits for that."""
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
        one.pid
        for one in psutil.net_connections("tcp")
        if one.laddr and one.laddr.port == port and one.status == psutil.CONN_LISTEN
    }
    psutil.Process(listener).kill()


def require_clean_end(sync: Sync, account: Account, database: Database) -> None:
    """The next sync is exact, and nothing is left over from the dead one."""
    assert sync().is_completed()
    assert_exact(database, account)
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]


@pytest.mark.parametrize("phase", [in_metadata, in_copying])
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_sync_that_is_ended_leaves_the_snapshot_and_the_next_one_succeeds(
    phase: Callable[[Call], bool],
    ending: signal.Signals,
    served: Sync,
    account: Account,
    database: Database,
) -> None:
    """Machines lose power, and platforms send SIGTERM with every deployment."""
    assert served().is_completed()
    change(account)
    before = fetch(database, SNAPSHOT)

    assert die(account, phase, ending) != 0

    assert fetch(database, SNAPSHOT) == before
    if ending == signal.SIGKILL:
        fetch(database, EXPIRE)
    require_clean_end(served, account, database)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_sync_ended_while_publishing_has_published_nothing(
    ending: signal.Signals, served: Sync, account: Account, database: Database
) -> None:
    """Half of a publication must never be seen."""
    assert served().is_completed()
    change(account)
    before = fetch(database, SNAPSHOT)

    with publishing_held(database) as wait_for_publishing:
        process = commands.start("sync")
        wait_for_publishing()
        process.send_signal(ending)
    assert commands.wait(process).returncode != 0

    fetch(database, EXPIRE)
    assert fetch(database, SNAPSHOT) == before
    require_clean_end(served, account, database)


@pytest.mark.parametrize(
    "options", [AccountOptions(contacts=1800, deals=1800, rate_limit=None)], ids=["many slices"]
)
def test_a_retry_does_not_copy_again_what_is_staged(
    served: Sync, account: Account, database: Database
) -> None:
    """A worker that restarts would otherwise begin at nothing each time, and never end."""
    assert die(account, lambda call: call.number == 170, signal.SIGKILL) == -signal.SIGKILL
    ((slices, pages),) = fetch(database, "select count(*), sum(records) / 20 from ac_staged_slices")
    fetch(database, EXPIRE)
    change(account)
    before = account.statistics.calls

    assert served().is_completed()

    assert slices > 4
    assert account.statistics.calls - before < WHOLE_WALK_CALLS - pages
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]
    require_clean_end(served, account, database)


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnPostgres]:
    """Run a Postgres that only these tests crash."""
    with TemporaryDirectory(prefix="acsync-") as folder, own_postgres(Path(folder)) as server:
        yield server


@pytest.fixture
def own_database(
    own_server: OwnPostgres,
    postgres: Postgres,
    sync: Sync,  # noqa: ARG001  # its database is the one replaced here
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Database]:
    """Empty that server, and use it in place of the database of the run."""
    monkeypatch.setenv("POSTGRES_URL", own_server.url)
    with closing(postgres.open(own_server.url)) as database:
        fetch(database, "drop schema public cascade")
        migrations.upgrade(database)
        yield database


@pytest.mark.parametrize(
    ("phase", "mode"),
    [(in_metadata, "immediate"), (in_copying, "fast"), (in_copying, "immediate")],
)
def test_a_postgres_that_restarts_is_waited_for(
    phase: Callable[[Call], bool],
    mode: Mode,
    sync: Sync,
    account: Account,
    own_database: Database,
    own_server: OwnPostgres,
) -> None:
    """A crash empties what is staged, which is then a gap like any other and read again."""
    assert sync().is_completed()
    change(account)
    on_call(account, phase, lambda: own_server.restart(mode))

    require_clean_end(sync, account, own_database)


def test_a_postgres_that_crashes_while_publishing_costs_that_sync(
    sync: Sync, account: Account, own_database: Database, own_server: OwnPostgres
) -> None:
    """The transaction is gone whole; with it went the lock that holds it here."""
    assert sync().is_completed()
    change(account)
    before = fetch(own_database, SNAPSHOT)

    with publishing_held(own_database) as wait_for_publishing, ThreadPoolExecutor() as pool:
        crashed = pool.submit(copy_context().run, sync)
        wait_for_publishing()
        own_server.restart("immediate")
        assert crashed.result().is_failed()

    assert fetch(own_database, SNAPSHOT) == before
    fetch(own_database, EXPIRE)
    require_clean_end(sync, account, own_database)


def test_staging_that_a_crash_emptied_behind_the_gate_is_no_empty_account(
    sync: Sync, database: Database
) -> None:
    """Publishing counts again what the gate let pass: without, every record would be deleted."""
    assert sync().is_completed()
    before = fetch(database, SNAPSHOT)

    with open_sync(read_settings(), ("contacts",), holder="a test") as context:
        verified = Verified("contacts", records=700, cleaned=0, duration_ms=1)
        result = publish(context, [verified], {})

    assert "Of 700 contacts that were staged, 0 are left" in str(result.datasets["contacts"].error)
    assert fetch(database, SNAPSHOT) == before


def test_a_prefect_server_that_restarts_while_copying_costs_nothing(
    sync: Sync,
    account: Account,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it was not told is missing in its pictures, not in the data."""
    port, copying = free_port(), threading.Event()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    on_call(account, in_copying, copying.set)
    with prefect_server(tmp_path, port):
        process = commands.start("sync")
        assert copying.wait(60)
    with prefect_server(tmp_path, port):
        done = commands.wait(process)

    assert done.returncode == 0, done.stderr
    assert_exact(database, account)
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]
    assert sync().is_completed()


def test_a_prefect_server_that_is_gone_at_the_end_costs_no_data_and_no_traceback(
    served: Sync,  # noqa: ARG001  # its account and database are what the command uses
    account: Account,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sync is published by then; Prefect's client tries three calls again, a minute each."""
    port = free_port()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "1")
    with publishing_held(database) as wait_for_publishing, prefect_server(tmp_path, port):
        process = commands.start("sync")
        wait_for_publishing()
        # Asked politely, it can take longer than the sync waits for a lock.
        kill_listener(port)

    done = commands.wait(process)

    assert (done.returncode, done.stderr) == (0, PREFECT_MISSED_IT)
    complete = r"^sync-\d+: complete after [\d.]+ s; 700 contacts; 600 deals$"
    assert re.search(complete, done.stdout, re.MULTILINE)
    assert_exact(database, account)
    assert fetch(database, "select overall_success from ac_sync_logs") == [(True,)]
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]


def test_a_prefect_server_that_was_never_there_is_told_in_one_paragraph(
    served: Sync,  # noqa: ARG001  # its account and database are what the command uses
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong PREFECT_API_URL is the likeliest mistake of the first day."""
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")

    done = commands.wait(commands.start("sync"))

    assert done.returncode == 1
    assert done.stderr.startswith("Prefect's API does not answer")
    assert done.stderr.count("\n") == 1
    assert fetch(database, "select count(*) from ac_sync_logs") == [(0,)]
