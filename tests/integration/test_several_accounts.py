"""One repository serves several accounts, each with its block, deployment and schema."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from pydantic import SecretStr

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database
from flows.blocks import ActiveCampaignAccount
from tests.support import commands
from tests.support.calls import on_call
from tests.support.commands import wait_for
from tests.support.postgres import Postgres
from tests.support.prefect_server import deploy, prefect_worker
from tests.support.syncs import assert_exact, fetch

NAMES = ("acme", "north-wind", "third")
FROM_THE_ENVIRONMENT = ("AC_API_URL", "AC_API_KEY", "POSTGRES_URL", "DATABASE_URL", "ACSYNC_SCHEMA")


@dataclass(frozen=True)
class Served:
    """A served account, and the schema of its copy."""

    account: Account
    database: Database


@pytest.fixture
def accounts(
    api: httpx.Client,  # noqa: ARG001  # the Prefect API that commands use
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, Served]]:
    """Serve three accounts whose credentials are only in their blocks."""
    url = postgres.create("template1")
    for name in FROM_THE_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        served = {}
        for seed, name in enumerate(NAMES):
            account = Account(
                AccountOptions(
                    contacts=60 + seed, deals=40, seed=seed, api_key=f"key-{name}", rate_limit=None
                )
            )
            save_block(name, stack.enter_context(serve(account)), account, url)
            schema = name.replace("-", "_")
            database = stack.enter_context(closing(postgres.open(url, schema)))
            served[name] = Served(account, database)
        yield served


def save_block(name: str, account_url: str, account: Account, database_url: str) -> None:
    block = ActiveCampaignAccount(
        url=account_url,
        key=SecretStr(account.options.api_key),
        rate_limit=100,
        database_url=SecretStr(database_url),
    )
    block.save(name)


def deploy_unscheduled(name: str) -> str:
    """Deploy an account with a paused schedule, and return the deployment's id."""
    deploy(name)
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"sync-activecampaign/every-15-minutes-{name}")
        client.pause_deployment(deployment.id)
    return str(deployment.id)


def start_run(deployment: str) -> str:
    """Start a run, and return its id."""
    with get_client(sync_client=True) as client:
        return str(client.create_flow_run_from_deployment(UUID(deployment)).id)


def test_two_workers_sync_three_accounts_at_once(
    accounts: dict[str, Served], api: httpx.Client, tmp_path: Path
) -> None:
    """Each first call waits for the other two, since accounts share no lease and no rate limit."""
    everybody = threading.Barrier(len(accounts), timeout=120)
    deployments = []
    for name, served in accounts.items():
        migrated = commands.acsync("migrate", "--account", name)
        assert migrated.returncode == 0, migrated.stderr
        deployments.append(deploy_unscheduled(name))
        on_call(served.account, lambda _call: True, everybody.wait)

    prefect = os.environ["PREFECT_API_URL"]
    with (
        prefect_worker(tmp_path / "one", prefect, "--limit", "2"),
        prefect_worker(tmp_path / "two", prefect, "--limit", "2"),
    ):
        ids = [start_run(deployment) for deployment in deployments]
        wait_for("three runs", lambda: {state_of(api, run) for run in ids} == {"Completed"})

    for served in accounts.values():
        assert_exact(served.database, served.account)
        assert count_syncs(served.database) == 1
    shown = (
        api.post("/flow_runs/filter", json={}).text + api.post("/deployments/filter", json={}).text
    )
    assert [name for name in NAMES if f"key-{name}" in shown] == []
    with commands.served("--account", "third") as (client, _):
        latest = client.get("/api/sync-status").json()["latestData"]
        accepted = client.post(
            "/api/sync-activecampaign", params={"wait": "false"}, headers=commands.BEARER
        )
    run = api.get(f"/flow_runs/{accepted.json()['flowRunId']}").json()
    assert latest["contacts"]["recordCount"] == 62
    assert run["parameters"] == {"account": "third"}


@pytest.mark.usefixtures("accounts")
def test_a_shorter_interval_is_stale_sooner(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its account would wait 18 hours for the alert if another one syncs every 6 hours."""
    deploy("third")
    quick = deploy_unscheduled("acme")
    alone = stale_alerts(api)
    monkeypatch.setenv("ACSYNC_INTERVAL", "6h")
    deploy("third")
    both = stale_alerts(api)
    deploy("acme")

    assert alone == {"acsync: data is stale": (2_700, "prefect.deployment.*")}
    assert both == {
        "acsync: data is stale": (64_800, "prefect.deployment.*"),
        "acsync: data is stale (15 minutes)": (2_700, [f"prefect.deployment.{quick}"]),
    }
    assert stale_alerts(api) == {"acsync: data is stale": (64_800, "prefect.deployment.*")}


def stale_alerts(api: httpx.Client) -> dict[str, tuple[float, str | list[str]]]:
    """Return how long each alert of stale data waits, and for which deployments."""
    saved = api.post("/automations/filter", json={}).json()
    triggers = {alert["name"]: alert["trigger"] for alert in saved if "stale" in alert["name"]}
    return {
        name: (trigger["within"], trigger["match_related"][1]["prefect.resource.id"])
        for name, trigger in triggers.items()
    }


def count_syncs(database: Database) -> int:
    ((count,),) = fetch(database, f'select count(*) from "{database.schema}".ac_sync_logs')
    return int(count)


def state_of(api: httpx.Client, run: str) -> str:
    name: str = api.get(f"/flow_runs/{run}").json()["state"]["name"]
    return name


@pytest.mark.usefixtures("accounts")
def test_a_problem_in_a_block_is_named_by_its_field() -> None:
    """People who fill in a form in a browser do not know our variables."""
    broken = ActiveCampaignAccount(
        url="ftp://a.example", key=SecretStr("two words"), database_schema="No Schema"
    )
    broken.save("broken")

    done, *others = [
        commands.acsync(command, "--account", "broken") for command in ("sync", "migrate", "status")
    ]
    Block.delete("activecampaign-account/broken")

    assert done.returncode == 2
    assert "url of the block broken is not an account's URL" in done.stderr
    assert "key of the block broken contains characters" in done.stderr
    assert "two words" not in done.stderr
    assert [other.returncode for other in others] == [2, 2]
    for other in others:
        assert other.stderr.startswith(
            "acsync cannot start: database_schema of the block broken is not a schema name"
        )


@pytest.mark.usefixtures("accounts")
def test_a_remedy_names_the_account() -> None:
    """Pasted without it, `acsync migrate` would create the tables in `public`."""
    shown = commands.acsync("status", "--account", "acme")
    checked = commands.acsync("check", "--account", "acme")
    synced = commands.acsync("sync", "--account", "acme")

    for done in (shown, synced):
        assert done.returncode == 1
        assert "Run: acsync migrate --account acme\n" in done.stderr
    assert "Run: acsync migrate --account acme" in checked.stdout
    assert "run again: acsync check --account acme\n" in checked.stderr


@pytest.mark.usefixtures("accounts")
def test_an_account_without_a_block_is_refused_with_the_remedy() -> None:
    done = commands.acsync("sync", "--account", "nobody")

    assert done.returncode == 2
    assert "The block activecampaign-account/nobody does not exist" in done.stderr


@pytest.mark.parametrize(
    ("url", "key", "missing"),
    [("SERVED", "", "key"), ("SERVED", " ", "key"), ("", "key-acme", "url")],
)
def test_a_block_with_half_an_account_borrows_no_key(
    accounts: dict[str, Served], monkeypatch: pytest.MonkeyPatch, url: str, key: str, missing: str
) -> None:
    """Otherwise an editor of blocks could send the worker's key to a foreign server."""
    acme = accounts["acme"]
    with serve(acme.account) as served:
        monkeypatch.setenv("AC_API_URL", served)
        monkeypatch.setenv("AC_API_KEY", "key-of-the-worker")
        ActiveCampaignAccount(url=url.replace("SERVED", served), key=SecretStr(key)).save("half")
        done = commands.acsync("sync", "--account", "half")
        Block.delete("activecampaign-account/half")

    assert done.returncode == 2
    assert done.stderr.startswith(
        f"acsync cannot start: {missing} of the block half is empty. Set url and key, or leave "
        "both empty to use the environment's.\n"
    )
    assert not acme.account.statistics.log
