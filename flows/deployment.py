"""Set up on the Prefect API in use what runs a sync every 15 minutes and tells when it fails.

`prefect.yaml` says the same for `prefect deploy`; a test holds the two together.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Interval
from prefect.types.entrypoint import EntrypointType
from prefect.utilities.urls import url_for

from flows.automations import HEARTBEAT_SECONDS, Audience, make_automations, save_automation
from flows.blocks import ActiveCampaignAccount, load_account
from flows.notifications import ALERT_BLOCK, find_alert_blocks, save_alert_block
from flows.sync_activecampaign import sync_activecampaign

DEPLOYMENT = "every-15-minutes"
WORK_POOL = "acsync"
INTERVAL = timedelta(minutes=15)
ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
"""A fixed one, so that deploying again moves no run."""

CONCURRENCY = ConcurrencyLimitConfig(
    limit=2, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
)
"""One that syncs, and one that comes to be told so; what comes on top, as after an outage of all
workers, is cancelled and never queued."""

JOB_VARIABLES = {
    "env": {
        "PREFECT_LOGGING_EXTRA_LOGGERS": "acsync,flows",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    }
}
"""So that our warnings show among the logs of a run, and that a lost one is soon noticed."""


def deploy(account: str | None, alert_url: str | None) -> Iterator[str]:
    """Set everything up, or bring it up to date, and tell what was done, a line each.

    Raises SettingsError for an account without a block, or an unusable alert URL.
    """
    with get_client(sync_client=True) as client:
        yield _ensure_work_pool(client)
        ActiveCampaignAccount.register_type_and_schema()
        if account is not None:
            load_account(account)
        deployment = make_deployment(account)
        deployment_id = cast(UUID, deployment.apply())
        yield f"Deployment {deployment.full_name} is deployed: every 15 minutes, unless paused."
        yield _ensure_alerts(client, alert_url)
        yield from _ensure_automations(client, deployment_id)


def make_deployment(account: str | None) -> RunnerDeployment:
    """Describe the deployment of an account, or of the one in the environment for None."""
    return sync_activecampaign.to_deployment(  # type: ignore[return-value]  # sync in sync code
        name=f"{DEPLOYMENT}-{account}" if account else DEPLOYMENT,
        description="Copy every contact and deal of an ActiveCampaign account into Postgres.",
        version=version("acsync"),
        tags=["acsync", account] if account else ["acsync"],
        parameters={"account": account} if account else {},
        schedule=Interval(INTERVAL, anchor_date=ANCHOR, timezone="UTC"),
        concurrency_limit=CONCURRENCY,
        work_pool_name=WORK_POOL,
        job_variables=JOB_VARIABLES,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _ensure_work_pool(client: SyncPrefectClient) -> str:
    """Leave a pool that exists as it is: it may well be one for Docker or Kubernetes."""
    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        pool = client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        return f"Work pool {WORK_POOL} was made; run: python -m flows.worker --pool {WORK_POOL}"
    return f"Work pool {WORK_POOL} is there, of type {pool.type}."


def _ensure_alerts(client: SyncPrefectClient, alert_url: str | None) -> str:
    """Use the block that is there, whoever made it; make one only where there is none."""
    if documents := find_alert_blocks(client):
        types = ", ".join(document.block_type.name for document in documents if document.block_type)
        kept = " ACSYNC_ALERT_URL was not looked at; to use it, delete the block first."
        return f"Block {ALERT_BLOCK} is there ({types}) and is used.{kept if alert_url else ''}"
    if alert_url is None:
        return (
            f"No alerts can be sent: set ACSYNC_ALERT_URL, or make a notification block "
            f"{ALERT_BLOCK}, and run this again."
        )
    return f"Block {ALERT_BLOCK} was made ({save_alert_block(alert_url)})."


def _ensure_automations(client: SyncPrefectClient, deployment_id: UUID) -> Iterator[str]:
    audience = Audience(
        sync_activecampaign.name,
        find_alert_blocks(client),
        _url_before_id("flow-run", deployment_id),
        _url_before_id("deployment", deployment_id),
    )
    for automation in make_automations(audience):
        yield f"Automation {automation.name!r} {save_automation(client, automation)}."


def _url_before_id(kind: str, example: UUID) -> str | None:
    """Give the part of a UI address that stands before the id; None where no UI is known."""
    url = url_for(kind, obj_id=example)
    return url.removesuffix(str(example)) if url else None
