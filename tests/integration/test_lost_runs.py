"""Runs whose worker died before their start give their slots back, and somebody is told.

The Prefect server and its deployment are real. Only the time after which a run counts as lost is
shorter.
"""

from typing import Any

import httpx
import pytest

from flows.automations import NOT_STARTED_AUTOMATION, variable_name
from tests.support.commands import deploy, wait_for
from tests.support.prefect_server import webhook

LOST_SECONDS = 10  # the least that Prefect accepts
DEPLOYMENT = "/deployments/name/sync-activecampaign/every-15-minutes"


def shorten_patience(api: httpx.Client) -> None:
    """Count a run as lost after a few seconds."""
    filters = {"automations": {"name": {"any_": [NOT_STARTED_AUTOMATION]}}}
    (automation,) = api.post("/automations/filter", json=filters).json()
    number = automation.pop("id")
    kept = {key: value for key, value in automation.items() if key not in ("created", "updated")}
    kept["trigger"]["within"] = LOST_SECONDS
    api.put(f"/automations/{number}", json=kept).raise_for_status()


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


def used_slots(api: httpx.Client) -> int:
    """Return how many slots of the deployment are taken."""
    slots: int = api.get(DEPLOYMENT).json()["global_concurrency_limit"]["active_slots"]
    return slots


PENDING = {"type": "PENDING", "name": "Pending"}


def test_runs_lost_before_their_start_free_their_slots(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two such runs held both slots forever, so Prefect cancelled every later sync."""
    with webhook() as alerts:
        monkeypatch.setenv("ACSYNC_ALERT_URL", alerts.url)
        deploy()
        shorten_patience(api)
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
    shorten_patience(api)
    run = start_run(api, PENDING, {"type": "RUNNING", "name": "Running"})
    lost = start_run(api, PENDING)

    wait_for("the other to be marked", lambda: read_run(api, lost)["state"]["name"] == "Crashed")

    assert read_run(api, run)["state"]["name"] == "Running"
