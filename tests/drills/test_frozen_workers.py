"""A worker that freezes at any moment blocks its account for less than two minutes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager

import psutil

from acsync.errors import AcsyncError
from acsync.settings import Settings, read_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.server import serve
from acsync.store.sync_history import read_status
from tests.support.commands import wait_for
from tests.support.freezing import MOMENTS
from tests.support.postgres import Postgres
from tests.support.syncs import assert_exact, run_sync

MOST_SECONDS = 120


@contextmanager
def frozen_worker(settings: Settings, moment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a sync, wait until it freezes, and kill it at the end."""
    given = {
        "AC_API_URL": settings.account_url,
        "AC_API_KEY": settings.api_key.get_secret_value(),
        "POSTGRES_URL": settings.database_url.get_secret_value() if settings.database_url else "",
        "AC_RATE_LIMIT": "50",
        "LIMIT_PER_PAGE": "20",
    }
    command = [sys.executable, "-m", "tests.support.freezing", moment]
    process = subprocess.Popen(command, env={**os.environ, **given})
    try:
        wait_for(
            f"a freeze {moment}",
            lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED,
        )
        yield process
    finally:
        process.kill()
        process.wait()


def test_another_worker_takes_over_within_two_minutes(postgres: Postgres) -> None:
    """All moments run at the same time, each with its account and database."""
    with ThreadPoolExecutor(len(MOMENTS)) as threads:
        seconds = dict(
            zip(MOMENTS, threads.map(lambda moment: drill(postgres, moment), MOMENTS), strict=True)
        )

    sys.stdout.write("".join(f"{moment}: {took:.0f} s\n" for moment, took in seconds.items()))
    assert max(seconds.values()) < MOST_SECONDS


def drill(postgres: Postgres, moment: str) -> float:
    """Freeze a worker, take over, thaw it; return how long the takeover took in seconds."""
    account = Account(AccountOptions(contacts=300, deals=100, rate_limit=None))
    url = postgres.create("template_migrated")
    with ExitStack() as stack:
        database = stack.enter_context(closing(postgres.open(url)))
        settings = read_settings(
            AC_API_URL=stack.enter_context(serve(account)),
            AC_API_KEY=account.options.api_key,
            POSTGRES_URL=url,
            AC_RATE_LIMIT=50,
            LIMIT_PER_PAGE=20,
        )
        worker = stack.enter_context(frozen_worker(settings, moment))
        began = time.monotonic()
        while not takes_over(settings):
            assert time.monotonic() < began + 2 * MOST_SECONDS, moment
            time.sleep(1)
        took = time.monotonic() - began
        assert_exact(database, account)

        published = read_status(database).published
        worker.send_signal(signal.SIGCONT)
        worker.wait(timeout=60)
        assert read_status(database).published == published, moment
    return took


def takes_over(settings: Settings) -> bool:
    """Try to run one sync."""
    try:
        return run_sync(settings).success
    except AcsyncError:
        return False
