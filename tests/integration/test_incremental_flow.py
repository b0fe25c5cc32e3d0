"""An incremental sync runs by the command and by the flow."""

from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, TaskRun

from acsync.simulator.account import Account
from acsync.store.database import Database
from acsync.store.lease import keep_lease, start_sync
from acsync.store.sync_status import read_status
from tests.support.commands import acsync
from tests.support.fixtures import Sync
from tests.support.syncs import assert_exact, last_log


def tasks_of(state: State[Any]) -> list[TaskRun]:
    """Return the task runs that Prefect keeps of a flow run."""
    assert state.state_details.flow_run_id
    ids = FlowRunFilterId(any_=[state.state_details.flow_run_id])
    with get_client(sync_client=True) as client:
        return client.read_task_runs(flow_run_filter=FlowRunFilter(id=ids))


def test_an_incremental_sync_runs_by_command_and_by_flow(
    served: Sync, account: Account, database: Database
) -> None:
    """It is turned away while a full sync runs, and needs a full one to start from.

    Tasks would be most of what Prefect stores of a run.
    """
    early = acsync("sync", "--incremental")
    assert served().is_completed()
    full = last_log(database)["sync_id"]
    account.change("contacts", 3)
    account.add("deals", 2)
    done = acsync("sync", "--incremental")
    quiet = served(incremental=True)
    running = start_sync(database, "flow run brave-otter on host-a", None)
    with keep_lease(database, running):
        away = acsync("sync", "--incremental")
        turned_away = served(incremental=True)

    assert early.returncode == 1
    assert "Run: acsync sync" in early.stderr
    assert "Traceback" not in early.stderr
    assert (done.returncode, away.returncode) == (0, 3)
    assert "3 updated" in done.stdout
    assert running.sync_id in away.stderr
    assert (quiet.name, turned_away.name) == ("Completed", "TurnedAway")
    assert tasks_of(quiet) == []
    assert_exact(database, account)
    status = read_status(database)
    assert status.latest
    assert status.latest.sync_id == full
    assert [sync.kind for sync in status.recent[:1]] == ["full"]
