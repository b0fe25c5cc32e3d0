"""Deploy the flow on the Prefect API in use, with its schedule and alerts.

`prefect.yaml` describes the same deployment for `prefect deploy`; a test compares the two.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    StateType,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Interval
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from acsync.datasets import DATASETS
from acsync.schedule import INTERVAL
from acsync.settings import DEAL_EVENTS, read_database_settings
from flows.automations import (
    HEARTBEAT_SECONDS,
    NOT_STARTED_AFTER,
    NOT_STARTED_REASON,
    Audience,
    make_automations,
    minutes,
    save_automation,
)
from flows.blocks import ActiveCampaignAccount, load_account
from flows.links import page_url
from flows.notifications import ALERT_BLOCK, find_alert_blocks, save_alert_block
from flows.prefect_api import explain_errors, require_lasting_api
from flows.sync_activecampaign import sync_activecampaign

DEPLOYMENT = "every-15-minutes"
WORK_POOL = "acsync"

# Fixed, so that deploying again does not move any run.
ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)

# One run syncs, and a second one may start and be turned away. Further runs, for example after an
# outage of all workers, are cancelled instead of queued.
# A run keeps its slot until it starts or the automation marks it as lost, whichever comes first.
CONCURRENCY = ConcurrencyLimitConfig(
    limit=2,
    collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW,
    grace_period_seconds=int(1.5 * NOT_STARTED_AFTER.total_seconds()),
)

# Send acsync's warnings to the logs of the run, and a heartbeat so that lost runs are noticed soon.
JOB_ENVIRONMENT = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "acsync,flows",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
}


def deploy(account: str | None, alert_url: str | None) -> Iterator[str]:
    """Create or update everything that a deployment needs; yield one line per step.

    Raises SettingsError if no API is set, the account has no block or the alert URL cannot be used,
    and AcsyncError if the API does not answer.
    """
    require_lasting_api()
    with explain_errors(), get_client(sync_client=True) as client:
        yield _ensure_work_pool(client)
        ActiveCampaignAccount.register_type_and_schema()
        if account is not None:
            load_account(account)
        deployment = make_deployment(account)
        if existing := _find(client, deployment):
            # Someone may have paused it, or changed its schedule in Prefect.
            deployment.paused = existing.paused
            deployment.schedules = None
            deployment.model_fields_set.discard("schedules")  # Prefect then keeps the schedules
        deployment_id = cast(UUID, deployment.apply())
        schedule = describe_schedule(existing) if existing else f"every {minutes(INTERVAL)}"
        yield f"Deployment {deployment.full_name} is deployed: {schedule}."
        if url := page_url("deployment", deployment_id):
            yield f"See {url}"
        yield _ensure_alerts(client, alert_url)
        yield from _ensure_automations(client, deployment_id)
        yield from _free_slots(client, deployment_id)


def _find(client: SyncPrefectClient, deployment: RunnerDeployment) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(deployment.full_name)
    except ObjectNotFound:
        return None


def describe_schedule(deployment: DeploymentResponse) -> str:
    """Return when an existing deployment runs, and why `acsync deploy` does not change that."""
    active = [schedule.schedule for schedule in deployment.schedules if schedule.active]
    if deployment.paused or not active:
        return "it was paused and stays paused; resume it in Prefect's UI"
    intervals = [schedule.interval for schedule in active if isinstance(schedule, IntervalSchedule)]
    if intervals == [INTERVAL] and len(active) == 1:
        return f"every {minutes(INTERVAL)}"
    times = ", ".join(f"every {minutes(interval)}" for interval in intervals) or "on a schedule"
    return f"{times}, as set in Prefect; acsync's own is every {minutes(INTERVAL)}"


def name_deployment(account: str | None) -> str:
    """Return the name of an account's deployment, without the name of the flow."""
    return f"{DEPLOYMENT}-{account}" if account else DEPLOYMENT


def make_deployment(account: str | None) -> RunnerDeployment:
    """Return the deployment of an account, or of the account in the environment for None."""
    return sync_activecampaign.to_deployment(  # type: ignore[return-value]  # sync in sync code
        name=name_deployment(account),
        description="Copy every contact and deal of an ActiveCampaign account into Postgres.",
        version=version("acsync"),
        tags=["acsync", account] if account else ["acsync"],
        parameters={"account": account} if account else {},
        schedule=Interval(INTERVAL, anchor_date=ANCHOR, timezone="UTC"),
        concurrency_limit=CONCURRENCY,
        work_pool_name=WORK_POOL,
        job_variables={"env": _environment()},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _environment() -> dict[str, str]:
    """Return the environment of the runs, with this process's ACSYNC_DATASETS."""
    settings = read_database_settings()
    datasets = [*settings.datasets, *([DEAL_EVENTS] if settings.deal_events else [])]
    chosen = {} if datasets == [*DATASETS] else {"ACSYNC_DATASETS": ",".join(datasets)}
    return JOB_ENVIRONMENT | chosen


def _ensure_work_pool(client: SyncPrefectClient) -> str:
    """Create the work pool unless it exists; an existing one may have any type."""
    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        pool = client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        return f"Work pool {WORK_POOL} was created. Run: acsync worker"
    return f"Work pool {WORK_POOL} exists (type {pool.type})."


def _ensure_alerts(client: SyncPrefectClient, alert_url: str | None) -> str:
    """Use the existing notification block, or create one from the alert URL."""
    if documents := find_alert_blocks(client):
        types = ", ".join(document.block_type.name for document in documents if document.block_type)
        kept = " To use ACSYNC_ALERT_URL instead, delete the block and deploy again."
        return f"Block {ALERT_BLOCK} exists ({types}) and is used.{kept if alert_url else ''}"
    if alert_url is None:
        return (
            "No alerts can be sent. Set ACSYNC_ALERT_URL, or create a notification block "
            f"{ALERT_BLOCK}, and deploy again."
        )
    return f"Block {ALERT_BLOCK} was created ({save_alert_block(alert_url)})."


def _ensure_automations(client: SyncPrefectClient, deployment_id: UUID) -> Iterator[str]:
    audience = Audience(
        sync_activecampaign.name,
        find_alert_blocks(client),
        _url_before_id("flow-run", deployment_id),
        _url_before_id("deployment", deployment_id),
    )
    for automation in make_automations(audience):
        silent = audience.nobody if audience.nobody in automation.description else ""
        yield f"Automation {automation.name!r} {save_automation(client, automation)}.{silent}"


def _free_slots(client: SyncPrefectClient, deployment_id: UUID) -> Iterator[str]:
    """Mark runs that were lost before the automation existed; it only sees later events."""
    pending = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING]))
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=FlowRunFilter(state=pending),
    )
    for run in runs:
        if run.state and datetime.now(UTC) - run.state.timestamp > NOT_STARTED_AFTER:
            client.set_flow_run_state(run.id, Crashed(message=f"{NOT_STARTED_REASON}."))
            yield f"Run {run.name} was lost before its start. It is marked as crashed."


def _url_before_id(kind: str, example: UUID) -> str | None:
    """Return the URL of a page of the UI without the id at its end, or None without a UI."""
    url = page_url(kind, example)
    return url.removesuffix(str(example)) if url else None
