"""The schedule starts runs, and the right people are alerted.

The server, the worker, the deployment and the receiver of alerts are real. Only the times are
shorter: some seconds for the interval, and for staleness.
"""

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.deployments import run_deployment

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from flows.automations import STOPPED_MESSAGE
from tests.support import commands, faults
from tests.support.calls import on_call
from tests.support.commands import PATIENCE_SECONDS, wait_for
from tests.support.fixtures import Sync
from tests.support.prefect_server import (
    DEPLOYMENT,
    Webhook,
    deploy,
    prefect_worker,
    run_by_hand,
    shorten_patience,
    webhook,
)
from tests.support.syncs import assert_exact

INTERVAL_SECONDS = 12
STALE_SECONDS = 25
UNDER_WAY = ("Pending", "Submitting", "Running", "Late")


@dataclass
class Stack:
    """A deployment with a running worker, and the receiver of its alerts."""

    api: httpx.Client
    alerts: Webhook
    worker: "subprocess.Popen[bytes]"

    def runs(self, *states: str) -> list[dict[str, Any]]:
        """Return the runs of the deployment with this state, the latest first."""
        runs: list[dict[str, Any]] = self.api.post(
            "/flow_runs/filter",
            json={
                "flow_runs": {"state": {"name": {"any_": states}}},
                "deployments": {"name": {"any_": ["every-15-minutes"]}},
                "sort": "START_TIME_DESC",
            },
        ).json()
        return runs

    def rest(self, left: int) -> None:
        """Pause the schedule, and wait until only the runs that are held are `left`.

        Prefect's triggers wait 15 minutes with the events of runs that were scheduled less than
        five minutes ahead (3.9.1): their first event follows one that is never sent.
        """
        number = self.api.get(f"/deployments/name/{DEPLOYMENT}").json()["id"]
        self.api.post(f"/deployments/{number}/pause_deployment").raise_for_status()
        wait_for("the others to end", lambda: len(self.runs(*UNDER_WAY)) <= left)


def shorten_interval(api: httpx.Client) -> None:
    """Set the interval of the deployment to a few seconds."""
    deployment = api.get(f"/deployments/name/{DEPLOYMENT}").json()
    (schedule,) = deployment["schedules"]
    interval = {**schedule["schedule"], "interval": INTERVAL_SECONDS}
    api.patch(
        f"/deployments/{deployment['id']}/schedules/{schedule['id']}", json={"schedule": interval}
    ).raise_for_status()


@pytest.fixture
def options() -> AccountOptions:
    """Use a small account, since starting processes takes the time here."""
    return AccountOptions(contacts=60, deals=40, rate_limit=None)


@pytest.fixture
def stack(
    api: httpx.Client,
    sync: Sync,  # noqa: ARG001  # sets the environment of the worker
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stack]:
    """Deploy with alerts, shorten the interval, and start a worker."""
    with webhook() as alerts:
        monkeypatch.setenv("ACSYNC_ALERT_URL", alerts.url)
        deploy()
        shorten_interval(api)
        with prefect_worker(tmp_path, os.environ["PREFECT_API_URL"]) as worker:
            yield Stack(api, alerts, worker)


def test_the_schedule_starts_one_run_at_a_time(
    stack: Stack, account: Account, database: Database
) -> None:
    """With SQLAlchemy 2.1 no scheduled run ever appeared, although runs by hand worked."""
    wait_for("a scheduled run", lambda: stack.runs("Completed"))
    assert_exact(database, account)

    held, freed = hold(account)
    assert held.wait(PATIENCE_SECONDS)
    stack.rest(left=1)
    assert run_by_hand() == "TurnedAway"
    in_a_shell = commands.acsync("sync")
    freed.set()
    assert in_a_shell.returncode == 3
    assert f"started by flow run {host()}" in in_a_shell.stderr
    turned_away = stack.runs("TurnedAway")[0]
    assert "has been running since" in turned_away["state"]["message"]
    assert turned_away["tags"] == ["acsync", host(), "contacts", "deals"]
    wait_for("the end of the one held", lambda: not stack.runs(*UNDER_WAY))
    assert [run["auto_scheduled"] for run in stack.runs("Completed")[:2]] == [True, True]
    assert stack.runs("Failed", "Crashed", "TimedOut") == []
    assert stack.alerts.messages == []


def test_failure_recovery_and_staleness_send_alerts(stack: Stack, account: Account) -> None:
    """A failure comes with its reason and the age of the data, a recovery comes once."""
    wait_for("a scheduled run", lambda: stack.runs("Completed"))
    stack.rest(left=0)

    revoked = threading.Event()
    account.faults.add(faults.forbidden().only(lambda _call: revoked.is_set()))
    revoked.set()
    assert run_by_hand() == "Failed"
    subject = wait_for("word of the failure", lambda: stack.alerts.subjects("failed"))[0]
    revoked.clear()
    (failed,) = stack.runs("Failed")
    body = stack.alerts.body_of(subject)
    assert subject == f"acsync: sync failed: {host()}"
    assert "contacts and deals: not published." in body
    assert "deals: not published." in body
    assert "status 403" in body
    assert re.search(r"Still published: contacts of 20\d\d-\d\d-\d\d \d\d:\d\d UTC", body)
    assert f"/runs/flow-run/{failed['id']}" in body

    assert run_by_hand() == "Completed"
    assert stack.alerts.subjects("stale") == []
    shorten_patience(stack.api, "acsync: data is stale", STALE_SECONDS)
    assert run_by_hand() == "Completed"
    (subject,) = stack.alerts.subjects("recovered")
    body = stack.alerts.body_of(subject)
    assert subject == f"acsync: recovered: {host()}"
    assert "The last sync had failed, and none had completed since 20" in body
    assert "/runs/flow-run/" in body

    stack.worker.terminate()
    stack.worker.wait(30)
    subject = wait_for("word of staleness", lambda: stack.alerts.subjects("stale"))[0]
    body = stack.alerts.body_of(subject)
    assert subject == f"acsync: data is stale: {host()}"
    assert re.search(r"has completed since 20\d\d-\d\d-\d\d \d\d:\d\d UTC", body)
    assert re.search(r"Still published: contacts of 20\d\d-\d\d-\d\d \d\d:\d\d UTC, deals", body)
    assert "/deployments/deployment/" in body
    assert account.options.api_key not in str(stack.alerts.messages)


def test_a_planned_stop_of_the_worker_sends_no_alert(stack: Stack, account: Account) -> None:
    """Each upgrade stops a worker. The alert that follows here shows that others are sent."""
    stack.rest(left=0)
    held, freed = hold(account)
    run_deployment(DEPLOYMENT, timeout=0)
    assert held.wait(PATIENCE_SECONDS)
    stack.worker.terminate()
    freed.set()
    stack.worker.wait(30)
    crashed = wait_for("the end of the run", lambda: stack.runs("Crashed"))
    assert [run["state"]["message"] for run in crashed] == [STOPPED_MESSAGE]

    failed = {"state": {"type": "CRASHED", "name": "Crashed", "message": "Killed"}, "force": True}
    stack.api.post(f"/flow_runs/{crashed[0]['id']}/set_state", json=failed).raise_for_status()
    wait_for("another alert", lambda: stack.alerts.messages)
    assert {message["body"].split()[0] for message in stack.alerts.messages} == {"Killed"}


def hold(account: Account) -> tuple[threading.Event, threading.Event]:
    """Hold the next call until the second event is set; the first one says that it has come."""
    held, freed = threading.Event(), threading.Event()
    on_call(account, lambda _call: True, held.set)
    on_call(account, lambda _call: True, lambda: freed.wait(2 * PATIENCE_SECONDS))
    return held, freed


def host() -> str:
    """Return the account's host and port as used in names and tags."""
    return os.environ["AC_API_URL"].removeprefix("http://")
