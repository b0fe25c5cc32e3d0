"""Publishing is tried again after a lock timeout or a lost connection."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from tests.support.fixtures import Sync
from tests.support.syncs import LEFT_OVERS, assert_exact, fetch, last_log

pytestmark = pytest.mark.parametrize(
    "options", [AccountOptions(contacts=120, deals=80, rate_limit=None)]
)

WAITING = """
    select pid from pg_stat_activity
    where datname = current_database() and application_name = 'acsync'
      and wait_event_type = 'Lock' and query like '%ac_published%'
"""


def wait_for_publishing(database: Database) -> int:
    """Return the process of the publishing transaction once it waits."""
    until = time.monotonic() + 120
    while not (waiting := fetch(database, WAITING)):
        assert time.monotonic() < until, "the sync never came to publish"
        time.sleep(0.05)
    process: int = waiting[0][0]
    return process


@contextmanager
def interrupted(database: Database, kind: str) -> Iterator[None]:
    """Hold a lock that publishing needs until its first try has failed."""

    def fail_once() -> None:
        process = wait_for_publishing(database)
        if kind == "connection":
            fetch(database, "select pg_terminate_backend(:pid)", pid=process)
        else:
            time.sleep(6)
        holder.rollback()

    with database.engine.connect() as holder:
        holder.execute(text("lock table ac_published in share mode"))
        thread = threading.Thread(target=fail_once)
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize("kind", ["lock", "connection"])
def test_a_publication_that_failed_once_is_tried_again(
    sync: Sync, account: Account, database: Database, kind: str
) -> None:
    """Everything is read and verified, so another sync would only read it again."""
    with interrupted(database, kind):
        assert sync().is_completed()

    assert last_log(database)["overall_success"] is True
    assert_exact(database, account)
    assert fetch(database, LEFT_OVERS) == [(0, 0, 0, 0)]
