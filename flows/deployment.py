"""Deploy the flows on the Prefect API in use, with their schedules and alerts.

`prefect.yaml` describes the same deployment for `prefect deploy`; a test compares the two.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, cast
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowFilter,
    FlowFilterName,
)
from prefect.client.schemas.objects import (
    ConcurrencyLimitConfig,
    ConcurrencyLimitStrategy,
    StateType,
    WorkPool,
)
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Interval
from prefect.states import Crashed
from prefect.types.entrypoint import EntrypointType

from acsync.datasets import DATASETS
from acsync.schedule import DEFAULT_INTERVAL
from acsync.setting_types import DEAL_EVENTS, format_duration
from acsync.settings import SCHEDULE, read_settings
from acsync.spelling import spell
from flows.automations import (
    FULL_TAG,
    HEARTBEAT_SECONDS,
    NOT_STARTED_AFTER,
    NOT_STARTED_REASON,
    VERIFICATION_TAG,
    Audience,
    delete_shorter,
    make_automations,
    save_automation,
)
from flows.blocks import ActiveCampaignAccount, load_account
from flows.links import api_url, is_local_api, page_url
from flows.notifications import ALERT_BLOCK, find_alert_blocks, save_alert_block
from flows.prefect_api import explain_errors, find_deployment, read_runs, require_lasting_api
from flows.schedules import ANCHOR, interval_of, update_schedule
from flows.sync_activecampaign import sync_activecampaign
from flows.verify_activecampaign import verify_activecampaign

WORK_POOL = "acsync"


def _cancel_more_than(runs: int) -> ConcurrencyLimitConfig:
    """Cancel further runs instead of queueing them, for example after an outage of all workers.

    A run keeps its slot until it starts or the automation marks it as lost, whichever comes first.
    """
    return ConcurrencyLimitConfig(
        limit=runs,
        collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW,
        grace_period_seconds=int(1.5 * NOT_STARTED_AFTER.total_seconds()),
    )


@dataclass(frozen=True)
class Kind:
    """The runs that a deployment starts.

    `variable` is the setting of their interval; without one, they start daily. `offset` is the
    time of their first start after midnight in UTC.
    """

    name: str
    description: str
    tag: str
    variable: str | None
    concurrency: ConcurrencyLimitConfig
    parameters: Mapping[str, bool] = field(default_factory=dict)
    flow: Flow[..., Any] = sync_activecampaign
    offset: timedelta = timedelta()

    def interval_of(self, job_variables: Mapping[str, Any]) -> timedelta:
        """Return the interval that `acsync deploy` gave a deployment."""
        return interval_of(job_variables, self.variable) if self.variable else timedelta(days=1)


# One run syncs, and a second one may start and be turned away.
FULL = Kind(
    "every-15-minutes",
    "Copy every contact and deal of an ActiveCampaign account into Postgres.",
    FULL_TAG,
    "ACSYNC_INTERVAL",
    _cancel_more_than(2),
)
# A run during a full sync is turned away, too.
INCREMENTAL = Kind(
    "incremental",
    "Publish what changed in an ActiveCampaign account since the last sync.",
    "acsync-incremental",
    "ACSYNC_INCREMENTAL_INTERVAL",
    _cancel_more_than(1),
    {"incremental": True},
)
# At a quiet hour, and between two full syncs.
VERIFICATION = Kind(
    "daily",
    "Compare random records of the copy with the ActiveCampaign account.",
    VERIFICATION_TAG,
    None,
    _cancel_more_than(1),
    flow=verify_activecampaign,
    offset=timedelta(hours=3, minutes=7),
)

# Send acsync's warnings to the logs of the run, and a heartbeat so that lost runs are noticed soon.
JOB_ENVIRONMENT = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "acsync,flows",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
}


def deploy(
    account: str | None, alert_url: str | None, verify_daily: bool | None = None
) -> Iterator[str]:
    """Create or update everything that a deployment needs; yield one line per step.

    `verify_daily` creates or deletes the daily verification; None leaves it as it is. Raises
    SettingsError if no API is set, the account has no block or the alert URL cannot be used, and
    AcsyncError if the API does not answer.
    """
    require_lasting_api()
    with explain_errors(), get_client(sync_client=True) as client:
        yield _ensure_work_pool(client)
        ActiveCampaignAccount.register_type_and_schema()
        if account is not None:
            load_account(account)
        deployment_id = yield from _ensure_deployment(client, account, FULL)
        if INCREMENTAL in configured_kinds():
            yield from _ensure_deployment(client, account, INCREMENTAL)
        else:
            reason = f"{INCREMENTAL.variable} is not set"
            yield from _delete_deployment(client, account, INCREMENTAL, reason)
        daily = make_deployment(account, VERIFICATION).full_name
        if verify_daily or (verify_daily is None and find_deployment(client, daily)):
            yield from _ensure_deployment(client, account, VERIFICATION)
        else:
            yield from _delete_deployment(client, account, VERIFICATION, "--no-verify-daily")
        yield _ensure_alerts(client, alert_url)
        yield from _ensure_automations(client)
        yield from _free_slots(client, deployment_id)


def configured_kinds() -> list[Kind]:
    """Return the kinds of syncs that have an interval."""
    is_set = read_settings(SCHEDULE).incremental_interval is not None
    return [FULL, INCREMENTAL] if is_set else [FULL]


def _ensure_deployment(
    client: SyncPrefectClient, account: str | None, kind: Kind
) -> Generator[str, None, UUID]:
    """Create a deployment, or update an existing one."""
    deployment = make_deployment(account, kind)
    interval = kind.interval_of(deployment.job_variables)
    existing = find_deployment(client, deployment.full_name)
    if existing:
        deployment.paused = existing.paused
        deployment.schedules = None
        deployment.model_fields_set.discard("schedules")  # Prefect then keeps the schedules
    deployment_id = cast(UUID, deployment.apply())
    schedule = f"every {spell(interval)}"
    if existing:
        before = kind.interval_of(existing.job_variables)
        schedule = update_schedule(client, existing, before, interval)
    yield f"Deployment {deployment.full_name} is deployed: {schedule}."
    if url := page_url("deployment", deployment_id):
        yield f"See {url}"
    return deployment_id


def _delete_deployment(
    client: SyncPrefectClient, account: str | None, kind: Kind, reason: str
) -> Iterator[str]:
    deployment = make_deployment(account, kind)
    if existing := find_deployment(client, deployment.full_name):
        client.delete_deployment(existing.id)
        yield f"Deployment {deployment.full_name} was deleted: {reason}."


def name_deployment(account: str | None, kind: Kind = FULL) -> str:
    """Return the name of an account's deployment, without the name of the flow."""
    return f"{kind.name}-{account}" if account else kind.name


def make_deployment(account: str | None, kind: Kind = FULL) -> RunnerDeployment:
    """Return the deployment of an account, or of the account in the environment for None."""
    environment = _environment(kind)
    interval = kind.interval_of({"env": environment})
    return kind.flow.to_deployment(  # type: ignore[return-value]  # sync in sync code
        name=name_deployment(account, kind),
        description=kind.description,
        version=version("acsync"),
        tags=[kind.tag, account] if account else [kind.tag],
        parameters={**kind.parameters, **({"account": account} if account else {})},
        schedule=Interval(interval, anchor_date=ANCHOR + kind.offset, timezone="UTC"),
        concurrency_limit=kind.concurrency,
        work_pool_name=WORK_POOL,
        job_variables={"env": environment},
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _environment(kind: Kind) -> dict[str, str]:
    """Return the environment of the runs, with this process's datasets and intervals."""
    settings = read_settings(("ACSYNC_DATASETS", *SCHEDULE))
    chosen = {"ACSYNC_INTERVAL": format_duration(settings.interval or DEFAULT_INTERVAL)}
    if kind is INCREMENTAL and settings.incremental_interval:
        chosen["ACSYNC_INCREMENTAL_INTERVAL"] = format_duration(settings.incremental_interval)
    datasets = [*settings.datasets, *([DEAL_EVENTS] if settings.deal_events else [])]
    if datasets != [*DATASETS]:
        chosen["ACSYNC_DATASETS"] = ",".join(datasets)
    return JOB_ENVIRONMENT | chosen


def _ensure_work_pool(client: SyncPrefectClient) -> str:
    """Create the work pool unless it exists; an existing one may have any type."""
    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        pool = client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        return f"Work pool {WORK_POOL} was created. Run: acsync worker"
    return f"Work pool {WORK_POOL} exists (type {pool.type}). {warn_of_containers(pool)}".rstrip()


def warn_of_containers(pool: WorkPool) -> str:
    """Return a sentence if the pool starts containers that cannot reach the API, else nothing."""
    variables = pool.base_job_template.get("variables", {}).get("properties", {})
    has_network = variables.get("network_mode", {}).get("default") == "host"
    if pool.type != "docker" or has_network or not is_local_api():
        return ""
    return f"Its containers cannot reach {api_url()}, which is an address of this machine only."


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


def _ensure_automations(client: SyncPrefectClient) -> Iterator[str]:
    audience = Audience(
        (sync_activecampaign.name, verify_activecampaign.name),
        find_alert_blocks(client),
        _read_intervals(client),
    )
    automations = make_automations(audience)
    for automation in automations:
        silent = audience.nobody if audience.nobody in automation.description else ""
        yield f"Automation {automation.name!r} {save_automation(client, automation)}.{silent}"
    for name in delete_shorter(client, automations):
        yield f"Automation {name!r} was deleted: no deployment has this interval."


def _read_intervals(client: SyncPrefectClient) -> dict[timedelta, list[UUID]]:
    """Return the intervals of all accounts' full syncs, which share the automations."""
    deployments = client.read_deployments(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[sync_activecampaign.name])),
        deployment_filter=DeploymentFilter(tags=DeploymentFilterTags(all_=[FULL_TAG])),
    )
    intervals: dict[timedelta, list[UUID]] = {}
    for deployment in deployments:
        intervals.setdefault(FULL.interval_of(deployment.job_variables), []).append(deployment.id)
    return intervals


def _free_slots(client: SyncPrefectClient, deployment_id: UUID) -> Iterator[str]:
    """Mark runs that were lost before the automation existed; it only sees later events."""
    for run in read_runs(client, deployment_id, {"type": {"any_": [StateType.PENDING]}}):
        if run.state and datetime.now(UTC) - run.state.timestamp > NOT_STARTED_AFTER:
            client.set_flow_run_state(run.id, Crashed(message=f"{NOT_STARTED_REASON}."))
            yield f"Run {run.name} was lost before its start. It is marked as crashed."
