"""If a schedule, a person and a shell start syncs at once, one runs and the others name it."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextvars import copy_context
from itertools import islice

import pytest

from acsync.errors import LeaseHeld
from acsync.simulator.account import Account
from acsync.store.database import Database
from acsync.store.lease import start_sync
from flows.sync_activecampaign import TURNED_AWAY
from tests.support import commands
from tests.support.calls import on_call
from tests.support.fixtures import Sync
from tests.support.syncs import assert_exact, fetch


def by_command() -> tuple[str, str]:
    """Run a sync from the shell, and return its status and message."""
    done = commands.acsync("sync")
    return {0: "done", 3: "turned away"}.get(done.returncode, "failed"), done.stderr


def by_flow(sync: Sync) -> tuple[str, str]:
    """Run the flow as a worker does, and return its state and message."""
    state = sync()
    ending = "turned away" if state.name == TURNED_AWAY else "done"
    return ending if state.is_completed() else "failed", state.message or ""


def test_one_sync_runs_and_the_others_name_it(
    sync: Sync,
    account: Account,
    database: Database,
    prefect_api: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first call of the first sync is held until the other two have ended."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    others_ended = threading.Event()
    on_call(account, lambda call: call.number == 1, lambda: others_ended.wait(60))
    starts: list[Callable[[], tuple[str, str]]] = [by_command, by_command, lambda: by_flow(sync)]

    with ThreadPoolExecutor() as pool:
        runs: list[Future[tuple[str, str]]] = [
            pool.submit(copy_context().run, start) for start in starts
        ]
        turned_away = [run.result() for run in islice(as_completed(runs), 2)]
        others_ended.set()
        endings = sorted(run.result()[0] for run in runs)

    ((sync_id,),) = fetch(database, "select sync_id from ac_sync_logs")
    assert endings == ["done", "turned away", "turned away"]
    for _, message in turned_away:
        assert re.search(f"{sync_id} has been running since .* started by flow run .* on ", message)
    assert_exact(database, account)


def test_the_lease_of_a_dead_sync_expires_within_two_minutes(database: Database) -> None:
    """It lasts 90 seconds, six missed renewals, because a slow network is not a crash."""
    start_sync(database, "flow run brave-otter on host-a", None)
    aged = "update ac_lease set renewed_at = clock_timestamp() - interval '{} seconds'"

    fetch(database, aged.format(85))
    with pytest.raises(LeaseHeld, match="on host-a"):
        start_sync(database, "flow run grey-owl on host-b", None)
    fetch(database, aged.format(91))
    start_sync(database, "flow run grey-owl on host-b", None)

    assert fetch(database, "select holder from ac_lease") == [("flow run grey-owl on host-b",)]
