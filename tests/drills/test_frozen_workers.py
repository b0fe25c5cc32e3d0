"""A worker that freezes at any moment blocks its account for less than two minutes.

Each worker is a process that is stopped from outside: at a call that the account receives, or at
a statement that waits for a lock in a trigger.
"""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress

import psutil

from acsync.errors import AcsyncError
from acsync.settings import Settings, read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import When
from acsync.simulator.server import serve
from acsync.store.database import Database
from acsync.store.sync_status import read_status
from tests.support.calls import in_copying, on_call
from tests.support.commands import wait_for
from tests.support.postgres import Postgres, execute
from tests.support.syncs import assert_exact, fetch, run_sync

MOST_SECONDS = 120
RUN_SYNC = """
from acsync.settings import read_settings
from tests.support.syncs import run_sync
run_sync(read_settings())
"""

CALLS: dict[str, When] = {
    "in the first call": lambda _: True,
    "between two pages": in_copying,
}
STATEMENTS = {
    "as the plan is kept": "after insert on ac_staged_plans",
    "as the lease is taken": "before delete on ac_staged_slices",
    "while rows are sent": "before insert on ac_staged_contacts for each row",
    "before a slice is committed": "after insert on ac_staged_slices",
    "in the heartbeat": "after update on ac_lease for each row when (old.sync_no = new.sync_no)",
    "as publishing begins": "before insert on ac_contact_versions",
    "before publishing commits": "after update of overall_success on ac_sync_logs for each row",
    "while staging is swept": "before truncate on ac_staged_contacts",
}
"""When the triggers fire, on tables of acsync."""

WAIT_IN_TRIGGER = """
    create function wait_for_lock() returns trigger language plpgsql as $$ begin
        perform pg_advisory_xact_lock_shared(1);
        return coalesce(new, old);
    end $$;
    create trigger wait_for_lock {moment} execute function wait_for_lock();
"""
IS_WAITING = """
    select from pg_stat_activity where datname = current_database() and wait_event = 'advisory'
"""


def test_another_worker_takes_over_within_two_minutes(postgres: Postgres) -> None:
    """All moments run at the same time, each with its account and database."""
    moments = [*CALLS, *STATEMENTS]
    with ThreadPoolExecutor(len(moments)) as threads:
        seconds = [*threads.map(lambda moment: drill(postgres, moment), moments)]

    for moment, took in zip(moments, seconds, strict=True):
        sys.stdout.write(f"{moment}: {took:.0f} s\n")
    assert max(seconds) < MOST_SECONDS


def drill(postgres: Postgres, moment: str) -> float:
    """Freeze a worker, take over, thaw it; return how long the takeover took in seconds."""
    account = Account(AccountOptions(contacts=300, deals=100, rate_limit=None))
    url = postgres.create("template_migrated")
    with ExitStack() as stack:
        database = stack.enter_context(closing(postgres.open(url)))
        environment = {
            "AC_API_URL": stack.enter_context(serve(account)),
            "AC_API_KEY": account.options.api_key,
            "POSTGRES_URL": url,
            "AC_RATE_LIMIT": "50",
            "LIMIT_PER_PAGE": "20",
        }
        worker = stack.enter_context(started_worker(environment, account, database, moment))
        settings = read_settings(**environment)
        began = time.monotonic()
        while not takes_over(settings):
            assert time.monotonic() < began + 2 * MOST_SECONDS, moment
            time.sleep(1)
        took = time.monotonic() - began
        assert_exact(database, account)

        published = read_status(database).published
        worker.resume()
        worker.wait(timeout=60)
        assert read_status(database).published == published, moment
    return took


@contextmanager
def started_worker(
    environment: dict[str, str], account: Account, database: Database, moment: str
) -> Iterator[psutil.Popen]:
    """Start a sync, wait until it is frozen at this moment, and kill it at the end."""
    with ExitStack() as stack:
        if moment in STATEMENTS:
            execute(database, WAIT_IN_TRIGGER.format(moment=STATEMENTS[moment]))
            lock = stack.enter_context(closing(database.engine.raw_connection()))
            lock.cursor().execute("select pg_advisory_xact_lock(1)")
        process = psutil.Popen([sys.executable, "-c", RUN_SYNC], env={**os.environ, **environment})
        stack.callback(end, process)
        if moment in STATEMENTS:
            wait_for(moment, lambda: fetch(database, IS_WAITING))
            process.suspend()
            lock.rollback()
        else:
            on_call(account, CALLS[moment], process.suspend)
        wait_for(f"a freeze {moment}", lambda: process.status() == psutil.STATUS_STOPPED)
        yield process


def end(process: psutil.Popen) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
    process.wait()


def takes_over(settings: Settings) -> bool:
    """Try to run one sync."""
    try:
        return run_sync(settings).success
    except AcsyncError:
        return False
