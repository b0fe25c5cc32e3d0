"""`acsync deploy` and `prefect deploy` set up the same, can be repeated, and keep what exists."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.blocks.core import Block
from prefect.blocks.notifications import SlackWebhook
from prefect.settings import PREFECT_HOME
from pydantic import SecretStr

from acsync.store.database import Database
from flows.deployment import WORK_POOL, make_deployment
from flows.notifications import ALERT_BLOCK
from flows.preflight import check_prefect
from tests.support import commands
from tests.support.commands import wait_for
from tests.support.documents import ROOT
from tests.support.prefect_server import deploy, forget, webhook
from tests.support.syncs import fetch

OF_THE_SERVER = (
    "id", "created", "updated", "last_polled", "status", "created_by", "updated_by", "work_queue_id"
)  # fmt: skip
SLUGS = {
    "Slack": "slack-webhook",
    "Discord": "discord-webhook",
    "Microsoft Teams": "ms-teams-webhook",
}
TEAMS_URL = (
    "https://prod-00.westus.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64/"
    "triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0"
    "&sig=KODuebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJZxFE5A"
)
URL = "https://hooks.example/services/very-secret"
HOST_NETWORK = {
    "job_configuration": {"network_mode": "{{ network_mode }}"},
    "variables": {"properties": {"network_mode": {"type": "string", "default": "host"}}},
}


def prefect(*arguments: str) -> str:
    """Run Prefect's own command in a checkout of the repository; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def deployed(
    api: httpx.Client, name: str = "every-15-minutes", flow: str = "sync-activecampaign"
) -> dict[str, Any]:
    """Return a deployment without the fields that the server adds."""
    deployment = api.get(f"/deployments/name/{flow}/{name}").raise_for_status().json()
    for part in (deployment, deployment["global_concurrency_limit"], *deployment["schedules"]):
        for key in (*OF_THE_SERVER, "deployment_id", "name"):
            part.pop(key, None)
    # Prefect's runner treats an empty list of steps as None.
    return deployment | {"pull_steps": deployment["pull_steps"] or None}  # type: ignore[no-any-return]


def automations(api: httpx.Client) -> list[dict[str, Any]]:
    saved: list[dict[str, Any]] = api.post("/automations/filter", json={}).json()
    return sorted(saved, key=lambda automation: str(automation["name"]))


def test_both_commands_deploy_the_same(api: httpx.Client) -> None:
    """The interval is 900 s from a fixed anchor, and the limit queues no run."""
    assert commands.acsync("deploy").returncode == 0
    by_acsync = deployed(api)
    forget()
    api.post("/work_pools/", json={"name": "acsync", "type": "process"}).raise_for_status()
    prefect("deploy", "--all")

    assert deployed(api) == by_acsync
    assert by_acsync["schedules"][0]["schedule"] == {
        "interval": 900.0,
        "anchor_date": "2026-01-01T00:00:00Z",
        "timezone": "UTC",
    }
    assert by_acsync["global_concurrency_limit"]["limit"] == 2
    assert by_acsync["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert by_acsync["work_pool_name"] == "acsync"


def test_deploying_again_only_restores_what_was_deleted(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update of an automation would restart the clock of staleness."""
    monkeypatch.setenv("ACSYNC_ALERT_URL", URL)
    deploy()
    first = automations(api)
    api.patch(f"/automations/{first[1]['id']}", json={"enabled": False}).raise_for_status()
    paused = automations(api)

    output = deploy()
    assert automations(api) == paused
    assert output.count("is up to date") == 4
    assert URL not in output

    api.delete(f"/automations/{first[0]['id']}").raise_for_status()
    deploy()
    assert [automation["name"] for automation in automations(api)] == [
        "acsync: data is stale",
        "acsync: run is lost",
        "acsync: run is lost before its start",
        "acsync: sync failed",
    ]


def test_deploying_again_keeps_a_paused_and_a_changed_schedule(api: httpx.Client) -> None:
    """An upgrade ends with `acsync deploy`, and must not start syncs during maintenance."""
    output = deploy()
    deployment = api.get("/deployments/name/sync-activecampaign/every-15-minutes").json()
    assert f"/deployments/deployment/{deployment['id']}" in output
    (schedule,) = deployment["schedules"]
    address = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"

    hourly = {"schedule": {**schedule["schedule"], "interval": 3600}}
    api.patch(address, json=hourly).raise_for_status()
    assert "every 1 hour, as set in Prefect, although acsync is set to every 15 minutes" in deploy()
    api.patch(address, json={"active": False}).raise_for_status()
    assert "was paused and stays paused" in deploy()
    (kept,) = deployed(api)["schedules"]
    assert (kept["active"], kept["schedule"]["interval"]) == (False, 3600)

    api.patch(address, json={"active": True}).raise_for_status()
    api.post(f"/deployments/{deployment['id']}/pause_deployment").raise_for_status()
    assert "was paused and stays paused" in deploy()
    assert deployed(api)["paused"] is True


def test_a_changed_interval_takes_effect_with_the_next_deployment(
    api: httpx.Client, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedule, its alert, its runs and the database have the same interval, also if paused."""
    monkeypatch.setenv("POSTGRES_URL", database_url)
    deploy()
    deployment = api.get("/deployments/name/sync-activecampaign/every-15-minutes").json()
    (schedule,) = deployment["schedules"]
    monkeypatch.setenv("ACSYNC_INTERVAL", "6h")

    assert "is deployed: every 6 hours, before 15 minutes." in deploy()
    (changed,) = deployed(api)["schedules"]
    assert changed["schedule"] == {**schedule["schedule"], "interval": 21_600.0}
    assert deployed(api)["job_variables"]["env"]["ACSYNC_INTERVAL"] == "6h"
    assert automations(api)[0]["trigger"]["within"] == 3 * 21_600
    assert "full sync completed for 18 hours" in automations(api)[0]["description"]
    in_force = "select sync_interval from ac_schedule"
    assert fetch(database, in_force) == [(timedelta(hours=6),)]
    assert "is deployed: every 6 hours." in deploy()

    address = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
    api.patch(address, json={"active": False}).raise_for_status()
    monkeypatch.setenv("ACSYNC_INTERVAL", "")
    assert "was paused and stays paused" in deploy()
    (paused,) = deployed(api)["schedules"]
    assert (paused["active"], paused["schedule"]["interval"]) == (False, 900)
    assert fetch(database, in_force) == [(timedelta(minutes=15),)]


def test_incremental_syncs_are_deployed_while_they_have_an_interval(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed one sends no alert: the next one makes up for it, and full syncs still alert."""
    with webhook() as alerts:
        monkeypatch.setenv("ACSYNC_ALERT_URL", alerts.url)
        monkeypatch.setenv("ACSYNC_INCREMENTAL_INTERVAL", "1m")
        assert "incremental is deployed: every 1 minute." in deploy()
        incremental = deployed(api, "incremental")
        for name in ("incremental", "every-15-minutes"):
            number = api.get(f"/deployments/name/sync-activecampaign/{name}").json()["id"]
            run = api.post(f"/deployments/{number}/create_flow_run", json={}).json()
            failed = {"type": "FAILED", "name": "Failed", "message": name}
            state = {"state": failed, "force": True}
            api.post(f"/flow_runs/{run['id']}/set_state", json=state).raise_for_status()
        wait_for("an alert", lambda: alerts.messages)
    monkeypatch.setenv("ACSYNC_INCREMENTAL_INTERVAL", "")

    assert "incremental was deleted: ACSYNC_INCREMENTAL_INTERVAL is not set." in deploy()
    assert api.get("/deployments/name/sync-activecampaign/incremental").status_code == 404
    assert {message["body"].split()[0] for message in alerts.messages} == {"every-15-minutes"}
    assert incremental["parameters"] == {"incremental": True}
    assert incremental["schedules"][0]["schedule"]["interval"] == 60
    assert incremental["global_concurrency_limit"]["limit"] == 1


def test_a_daily_verification_stays_deployed_until_it_is_refused(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that differs alerts as a failed sync does, through the same block."""
    address = "/deployments/name/verify-activecampaign/daily"
    with webhook() as alerts:
        monkeypatch.setenv("ACSYNC_ALERT_URL", alerts.url)
        deploy()
        assert api.get(address).status_code == 404
        assert "daily is deployed: every 1 day." in deploy(verify_daily=True)
        daily = deployed(api, "daily", "verify-activecampaign")
        assert "daily is deployed: every 1 day." in deploy()
        number = api.get(address).json()["id"]
        run = api.post(f"/deployments/{number}/create_flow_run", json={}).json()
        failed = {"type": "FAILED", "name": "Failed", "message": "1 record differs"}
        state = {"state": failed, "force": True}
        api.post(f"/flow_runs/{run['id']}/set_state", json=state).raise_for_status()
        (alert,) = wait_for("an alert", lambda: alerts.messages)

    assert "daily was deleted: --no-verify-daily." in deploy(verify_daily=False)
    assert api.get(address).status_code == 404
    assert daily["schedules"][0]["schedule"] == {
        "interval": 86_400.0,
        "anchor_date": "2026-01-01T03:07:00Z",
        "timezone": "UTC",
    }
    assert daily["work_pool_name"] == "acsync"
    assert daily["entrypoint"] == "flows.verify_activecampaign.verify_activecampaign"
    assert alert["subject"] == "acsync: verify failed: daily"
    assert alert["body"].startswith("1 record differs")


def test_a_block_made_by_hand_is_used_unchanged(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator chose where alerts go, so any type of block is accepted."""
    SlackWebhook(url=SecretStr("https://hooks.slack.com/services/A/B/C")).save(ALERT_BLOCK)
    monkeypatch.setenv("ACSYNC_ALERT_URL", URL)

    output = deploy()

    (block,) = api.post("/block_documents/filter", json={"include_secrets": True}).json()
    assert block["data"]["url"] == "https://hooks.slack.com/services/A/B/C"
    stale, _, _, failed = automations(api)
    assert stale["actions"][0]["block_document_id"] == block["id"]
    assert failed["actions"][0]["block_document_id"] == block["id"]
    assert (
        "Block acsync-alerts exists (Slack Webhook) and is used. To use ACSYNC_ALERT_URL" in output
    )


def test_without_an_alert_url_the_automations_are_prepared(api: httpx.Client) -> None:
    """They show in the UI, and the command says what is missing."""
    output = deploy()

    assert "No alerts can be sent. Set ACSYNC_ALERT_URL" in output
    stale, _, _, failed = automations(api)
    assert stale["actions"] == failed["actions"] == [{"type": "do-nothing"}]
    for automation in (stale, failed):
        assert "It alerts nobody: set ACSYNC_ALERT_URL" in automation["description"]
        assert f"{automation['name']!r} created. It alerts nobody" in output


@pytest.mark.parametrize(
    ("url", "block_type", "secret"),
    [
        (f"https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/{'T' * 24}", "Slack", "T" * 24),
        (f"https://discord.com/api/webhooks/{'4' * 18}/{'J' * 64}", "Discord", "J" * 64),
        (TEAMS_URL, "Microsoft Teams", "KODuebWb"),
        ("https://chat.example/hook?token=t0ken", "Slack", "t0ken"),
        ("mailtos://user:pass-word@mail.example?to=ops@a.example", "Slack", "pass-word"),
    ],
)
def test_every_kind_of_alert_url_has_its_block(
    url: str, block_type: str, secret: str, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect rebuilds the block from its store, where only people with the right see the URL."""
    monkeypatch.setenv("ACSYNC_ALERT_URL", url)

    output = deploy()

    made: Any = Block.load(f"{SLUGS[block_type]}/{ALERT_BLOCK}")
    shown = api.post("/block_documents/filter", json={}).text
    assert f"({block_type} Webhook)" in output
    assert secret in made.model_dump_json(context={"include_secrets": True})
    assert secret not in output + shown


def test_the_url_of_a_failing_webhook_is_not_logged(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL is a secret, and many people can read, keep and forward logs."""
    with webhook(status=404) as alerts:
        monkeypatch.setenv("ACSYNC_ALERT_URL", alerts.url)
        deploy()
        deployment = api.get("/deployments/name/sync-activecampaign/every-15-minutes").json()
        run = api.post(f"/deployments/{deployment['id']}/create_flow_run", json={}).json()
        failed = {"state": {"type": "FAILED", "name": "Failed"}, "force": True}
        api.post(f"/flow_runs/{run['id']}/set_state", json=failed).raise_for_status()
        wait_for("an alert", lambda: bool(alerts.messages))

        log = Path(str(PREFECT_HOME.value())) / "server.log"
        wait_for("a line about it", lambda: "error=404" in log.read_text())
    assert "secret-token" not in log.read_text()


def test_a_wrong_alert_url_is_refused_with_the_remedy(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the first failure would alert nobody. The URL may hold a password."""
    monkeypatch.setenv("ACSYNC_ALERT_URL", "nonsense-with-a-passw0rd")

    done = commands.acsync("deploy")

    assert done.returncode == 2
    assert "ACSYNC_ALERT_URL is not a URL" in done.stderr
    assert "passw0rd" not in done.stderr + done.stdout
    assert automations(api) == []


def test_without_a_server_there_is_nothing_to_deploy_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect would start a server inside the command, and the deployment would vanish with it."""
    monkeypatch.setenv("PREFECT_API_URL", "")

    done = commands.acsync("deploy")

    assert done.returncode == 2
    assert "PREFECT_API_URL is not set" in done.stderr


def test_the_variants_in_comments_deploy_as_well(api: httpx.Client, tmp_path: Path) -> None:
    """The pools' own templates must know all their variables."""
    # Parsers drop comments, so they become YAML as people do it: by removing the mark.
    text = (ROOT / "prefect.yaml").read_text()
    uncommented = re.sub(r"^  # (- <<:|  )", r"  \1", text, flags=re.MULTILINE)
    (tmp_path / "prefect.yaml").write_text(uncommented)
    deployments = yaml.safe_load(uncommented)["deployments"]
    pools = {deployment["name"]: deployment["work_pool"]["name"] for deployment in deployments}
    assert pools == {
        "every-15-minutes": "acsync",
        "incremental": "acsync",
        "daily": "acsync",
        "every-15-minutes-acme": "acsync",
        "every-15-minutes-docker": "acsync-docker",
        "every-15-minutes-kubernetes": "acsync-kubernetes",
    }

    for pool in {*pools.values()}:
        prefect("work-pool", "create", pool, "--type", pool.partition("-")[2] or "process")
    prefect("deploy", "--all", "--prefect-file", str(tmp_path / "prefect.yaml"))

    for deployment in deployments:
        pool = api.get(f"/work_pools/{deployment['work_pool']['name']}").json()
        known = pool["base_job_template"]["variables"]["properties"]
        assert set(deployment["work_pool"]["job_variables"]) <= set(known)
        flow = deployment["entrypoint"].rpartition(".")[2].replace("_", "-")
        saved = deployed(api, deployment["name"], flow)
        assert saved["parameters"] == deployment["parameters"]


def test_containers_that_cannot_reach_the_api_are_named(api: httpx.Client) -> None:
    """In a container, 127.0.0.1 is the container, unless it shares the network of its host."""
    api.post("/work_pools/", json={"name": WORK_POOL, "type": "docker"}).raise_for_status()
    unreachable = deploy(), worker_check()
    api.patch(
        f"/work_pools/{WORK_POOL}", json={"base_job_template": HOST_NETWORK}
    ).raise_for_status()
    reachable = deploy(), worker_check()

    assert all("Its containers cannot reach http://127.0.0.1" in text for text in unreachable)
    assert not any("containers" in text for text in reachable)


def worker_check() -> str:
    """Return what `acsync check` says of the workers."""
    (seen,) = [result.seen for result in check_prefect(None) if result.check == "worker"]
    return seen


def test_runs_copy_the_datasets_chosen_at_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of another person, or in a container, must not read deals again."""
    monkeypatch.setenv("ACSYNC_DATASETS", "contacts")

    environment = make_deployment(None).job_variables["env"]

    assert environment["ACSYNC_DATASETS"] == "contacts"
