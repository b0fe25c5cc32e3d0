"""Runs whose worker died free their slots, and an alert is sent.

The Prefect server and its deployment are real. Only the time after which a run counts as lost is
shorter.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_HOME

from acsync.local.environment import LEASE_STORAGE
from flows.automations import LOST_AUTOMATION, NOT_STARTED_AUTOMATION, variable_name
from tests.support.commands import wait_for
from tests.support.prefect_server import (
    PatientTransport,
    deploy,
    free_port,
    prefect_server,
    prefect_worker,
    shorten_patience,
    webhook,
)

LOST_SECONDS = 10  # the least that Prefect accepts
DEPLOYMENT = "/deployments/name/sync-activecampaign/every-15-minutes"


def start_run(api: httpx.Client, *states: dict[str, str]) -> dict[str, Any]:
    """Create a run and set its states as a worker does; return the run."""
    deployment = api.get(DEPLOYMENT).json()
    created = api.post(f"/deployments/{deployment['id']}/create_flow_run", json={}).json()
    for state in states:
        api.post(f"/flow_runs/{created['id']}/set_state", json={"state": state}).raise_for_status()
    return read_run(api, created)


def read_run(api: httpx.Client, created: dict[str, Any]) -> dict[str, Any]:
    run: dict[str, Any] = api.get(f"/flow_runs/{created['id']}").json()
    return run


def let_minutes_pass(run: dict[str, Any], minutes: int) -> None:
    """Make the state of a run older, in the database of Prefect's server."""
    since = datetime.now(UTC) - timedelta(minutes=minutes)
    with closing(sqlite3.connect(PREFECT_HOME.value() / "prefect.db", timeout=60)) as database:
        sql = "update flow_run_state set timestamp = ? where id = ?"
        done = database.execute(sql, (f"{since:%Y-%m-%d %H:%M:%S.%f}", run["state"]["id"]))
        database.commit()
    assert done.rowcount == 1


def used_slots(api: httpx.Client) -> int:
    """Return how many slots of the deployment are taken."""
    slots: int = api.get(DEPLOYMENT).json()["global_concurrency_limit"]["active_slots"]
    return slots


PENDING = {"type": "PENDING", "name": "Pending"}
RUNNING = {"type": "RUNNING", "name": "Running"}
CANCELLING = {"type": "CANCELLING", "name": "Cancelling"}


@contextmanager
def own_server(home: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """Run a Prefect server with its slots on disk, as in production, and point commands at it."""
    with (
        prefect_server(home, port) as url,
        httpx.Client(base_url=url, timeout=60, transport=PatientTransport()) as client,
    ):
        monkeypatch.setenv("PREFECT_API_URL", url)
        yield client


def kill_tree(pid: int) -> None:
    """Kill a process with its children, which cannot react."""
    parent = psutil.Process(pid)
    for process in [parent, *parent.children(recursive=True)]:
        process.kill()


def test_runs_lost_before_their_start_free_their_slots(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two such runs held both slots forever, so Prefect cancelled every later sync."""
    with webhook() as alerts:
        monkeypatch.setenv("ACSYNC_ALERT_URL", alerts.url)
        deploy()
        shorten_patience(api, NOT_STARTED_AUTOMATION, LOST_SECONDS)
        published = {"account": "acme.api-us1.com", "published": "Still published: contacts of …"}
        variable = {"name": variable_name("every-15-minutes"), "value": published}
        api.post("/variables/", json=variable).raise_for_status()
        lost = [start_run(api, PENDING), start_run(api, PENDING)]
        assert used_slots(api) == 2
        cancelled = start_run(api, PENDING)
        assert cancelled["state"]["message"] == "Deployment concurrency limit reached."

        wait_for(
            "both to be marked",
            lambda: [read_run(api, run)["state"]["name"] for run in lost] == ["Crashed"] * 2,
        )
        wait_for("an alert for each", lambda: len(alerts.messages) >= 2)

        assert used_slots(api) == 0
        assert start_run(api, PENDING)["state"]["name"] == "Pending"
        subjects = {message["subject"] for message in alerts.messages}
        assert subjects == {"acsync: sync crashed: acme.api-us1.com"}
        bodies = " ".join(message["body"] for message in alerts.messages)
        assert "The run did not start within 10 minutes" in bodies
        assert "Still published: contacts of …" in bodies
        assert all(f"/runs/flow-run/{run['id']}" in bodies for run in lost)


def test_a_run_that_starts_is_not_marked(api: httpx.Client) -> None:
    """The second half of its life belongs to the heartbeats."""
    deploy()
    shorten_patience(api, NOT_STARTED_AUTOMATION, LOST_SECONDS)
    run = start_run(api, PENDING, RUNNING)
    lost = start_run(api, PENDING)

    wait_for("the other to be marked", lambda: read_run(api, lost)["state"]["name"] == "Crashed")

    assert read_run(api, run)["state"]["name"] == "Running"


def test_slots_of_a_killed_worker_are_freed_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power cuts end worker and server together, and runs may then be between two states."""
    monkeypatch.setenv("PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE", LEASE_STORAGE)
    port = free_port()
    with own_server(tmp_path, port, monkeypatch) as api:
        deploy()
        shorten_patience(api, NOT_STARTED_AUTOMATION, 30)
        lost = [start_run(api), start_run(api)]
        with ExitStack() as stack:
            url = str(api.base_url).rstrip("/")
            worker = stack.enter_context(prefect_worker(tmp_path / "worker", url))
            wait_for(
                "the worker to take both",
                lambda: [read_run(api, run)["state"]["type"] for run in lost] == ["PENDING"] * 2,
            )
            kill_tree(worker.pid)
        states = [read_run(api, run)["state"]["type"] for run in lost]
        assert (states, used_slots(api)) == (["PENDING"] * 2, 2)

    with own_server(tmp_path, port, monkeypatch) as api:
        wait_for(
            "both to be marked",
            lambda: [read_run(api, run)["state"]["name"] for run in lost] == ["Crashed"] * 2,
        )

        message = read_run(api, lost[0])["state"]["message"]
        assert "The run did not start within 10 minutes" in message
        assert used_slots(api) == 0
        assert start_run(api, PENDING)["state"]["name"] == "Pending"


def test_deploy_frees_the_slots_of_runs_lost_earlier(api: httpx.Client) -> None:
    """The automation of an upgraded acsync never hears of them."""
    deploy()
    lost, starting = start_run(api, PENDING), start_run(api, PENDING)
    let_minutes_pass(lost, 11)

    output = deploy()

    assert f"Run {lost['name']} was lost before its start. It is marked as crashed." in output
    assert read_run(api, lost)["state"]["name"] == "Crashed"
    assert read_run(api, starting)["state"]["name"] == "Pending"
    assert used_slots(api) == 1


def test_a_run_lost_before_its_first_heartbeat_is_marked(api: httpx.Client) -> None:
    """Prefect frees its slot after five minutes, but would show it as running permanently."""
    deploy()
    shorten_patience(api, LOST_AUTOMATION, LOST_SECONDS)
    lost = start_run(api, PENDING, RUNNING)

    wait_for("it to be marked", lambda: read_run(api, lost)["state"]["name"] == "Crashed")

    assert used_slots(api) == 0


def test_a_run_lost_while_it_is_cancelled_frees_its_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect lets such a run only become `Cancelled`, and does it itself after five minutes."""
    patience = "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS"
    monkeypatch.setenv(patience, str(LOST_SECONDS))
    with own_server(tmp_path, free_port(), monkeypatch) as api:
        deploy()
        lost = start_run(api, PENDING, RUNNING, CANCELLING)
        assert used_slots(api) == 1

        wait_for("it to be ended", lambda: read_run(api, lost)["state"]["name"] == "Cancelled")

        assert used_slots(api) == 0
