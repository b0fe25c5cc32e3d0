"""A frozen run cannot keep its worker from stopping."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.client.orchestration import get_client

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from flows.worker import END_SECONDS
from tests.support.calls import nth_call, on_call
from tests.support.commands import acsync, wait_for
from tests.support.fixtures import Sync
from tests.support.prefect_server import deploy, prefect_worker
from tests.support.syncs import EXPIRE, assert_exact, fetch

SLACK_SECONDS = 30


@pytest.fixture
def options() -> AccountOptions:
    """Use a small account, since starting processes takes the time here."""
    return AccountOptions(contacts=60, deals=40, rate_limit=None)


def workers_of(starter: psutil.Process) -> list[psutil.Process]:
    """Return Prefect's worker among the children of our command."""
    for child in starter.children():
        with suppress(psutil.NoSuchProcess):
            if "worker" in child.cmdline():
                return [child]
    return []


@pytest.mark.parametrize("frozen", ["run", "run and worker"])
def test_a_worker_told_to_end_kills_a_frozen_run(
    frozen: str,
    served: Sync,  # noqa: ARG001  # the environment of the worker
    api: httpx.Client,  # noqa: ARG001  # the server that the worker asks
    account: Account,
    database: Database,
    tmp_path: Path,
) -> None:
    """A run under SIGSTOP ignores SIGTERM. The next sync closes its log row."""
    deploy()
    start_run()
    with prefect_worker(tmp_path, os.environ["PREFECT_API_URL"]) as starter:
        # Its first child asks whether Prefect's API answers.
        (worker,) = wait_for("the worker", lambda: workers_of(psutil.Process(starter.pid)))
        stopped: list[psutil.Process] = []

        def freeze() -> None:
            stopped.extend(worker.children(recursive=True))
            stopped.extend([worker] if frozen == "run and worker" else [])
            for process in stopped:
                process.suspend()

        on_call(account, nth_call(lambda call: call.path == "contacts", 2), freeze)
        wait_for("a frozen run", lambda: stopped and stopped[0].status() == psutil.STATUS_STOPPED)
        began = time.monotonic()
        starter.send_signal(signal.SIGTERM)
        status = starter.wait(timeout=END_SECONDS + SLACK_SECONDS)
        seconds = time.monotonic() - began

    assert seconds > END_SECONDS
    assert status == (0 if frozen == "run" else 128 + signal.SIGKILL)
    assert [process for process in (*stopped, worker) if is_alive(process)] == []
    assert fetch(database, "select overall_success from ac_sync_logs") == [(None,)]
    fetch(database, EXPIRE)
    assert acsync("sync").returncode == 0
    rows = fetch(database, "select overall_success from ac_sync_logs order by id")
    assert rows == [(False,), (True,)]
    assert_exact(database, account)


def start_run() -> None:
    """Pause the schedule, and start a run by hand."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("sync-activecampaign/every-15-minutes")
        client.pause_deployment(deployment.id)
        client.create_flow_run_from_deployment(deployment.id)


def is_alive(process: psutil.Process) -> bool:
    """Return whether the process runs; without an init, a killed one stays as a zombie."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
