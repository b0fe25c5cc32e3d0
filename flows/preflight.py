"""Look whether Prefect starts syncs on schedule and tells people when one fails.

A sync that a person starts needs none of it: what is missing is a warning.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from prefect.client.base import ServerType
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from acsync.preflight.checks import CheckResult
from flows.automations import FAILED_AUTOMATION, LOST_AUTOMATION, STALE_AUTOMATION
from flows.deployment import WORK_POOL, make_deployment
from flows.notifications import ALERT_BLOCK, find_alert_blocks

TIMEOUT_SECONDS = 15.0
"""With Prefect's own patience, a host that drops all packets would hold a check for minutes."""

API = "Prefect API"
DEPLOY = "Run: acsync deploy"
START_WORKER = f"Run: python -m flows.worker --pool {WORK_POOL}"


def check_prefect(account: str | None) -> Iterator[CheckResult]:
    """Look at the API in use and what `acsync deploy` sets up there; start no server for it."""
    url = PREFECT_API_URL.value()
    if not url:
        yield CheckResult(
            API,
            "warning",
            "PREFECT_API_URL is not set: each command starts a server for itself, and nothing "
            "runs on schedule.",
            f"Start one with prefect server start, set PREFECT_API_URL to it, and {DEPLOY.lower()}",
        )
        return
    host = urlsplit(url).hostname
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}),
        get_client(sync_client=True, httpx_settings={"timeout": TIMEOUT_SECONDS}) as client,
    ):
        if failure := client.api_healthcheck():
            seen = f"{host} did not answer as a Prefect API ({type(failure).__name__})."
            yield CheckResult(
                API, "problem", seen, "Check PREFECT_API_URL, and that its server runs."
            )
            return
        yield CheckResult(API, "ok", f"{_version(client)} at {host}.")
        yield _check_deployment(client, make_deployment(account).full_name)
        yield _check_worker(client)
        for name in (FAILED_AUTOMATION, STALE_AUTOMATION, LOST_AUTOMATION):
            yield _check_automation(client, name)
        yield _check_alerts(client)


def _version(client: SyncPrefectClient) -> str:
    cloud = client.server_type == ServerType.CLOUD
    return "Prefect Cloud" if cloud else f"Prefect {client.api_version()}"


def _check_deployment(client: SyncPrefectClient, name: str) -> CheckResult:
    check = "deployment"
    try:
        deployment = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return CheckResult(check, "warning", f"{name} is not there: no sync is scheduled.", DEPLOY)
    if deployment.paused or not any(schedule.active for schedule in deployment.schedules):
        seen = f"{name} is paused or has no active schedule."
        return CheckResult(
            check, "warning", seen, "Switch it on in Prefect's UI, under Deployments."
        )
    return CheckResult(check, "ok", f"{name} is scheduled.")


def _check_worker(client: SyncPrefectClient) -> CheckResult:
    check = "worker"
    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        return CheckResult(check, "warning", f"There is no work pool {WORK_POOL}.", DEPLOY)
    if pool.is_paused:
        remedy = f"Run: prefect work-pool resume {WORK_POOL}"
        return CheckResult(check, "warning", f"The work pool {WORK_POOL} is paused.", remedy)
    workers = client.read_workers_for_work_pool(WORK_POOL)
    online = [worker.name for worker in workers if worker.status == WorkerStatus.ONLINE]
    if not online:
        seen = f"No worker of the pool {WORK_POOL} is online: scheduled syncs wait."
        return CheckResult(check, "warning", seen, START_WORKER)
    return CheckResult(check, "ok", f"{', '.join(online)} of the pool {WORK_POOL}.")


def _check_automation(client: SyncPrefectClient, name: str) -> CheckResult:
    automations = client.read_automations_by_name(name)
    if not automations:
        return CheckResult(name, "warning", "There is no such automation.", DEPLOY)
    if not any(automation.enabled for automation in automations):
        remedy = f"Run: prefect automation resume '{name}'"
        return CheckResult(name, "warning", "The automation is switched off.", remedy)
    return CheckResult(name, "ok", "The automation is switched on.")


def _check_alerts(client: SyncPrefectClient) -> CheckResult:
    check = "alerts"
    types = [block.block_type.name for block in find_alert_blocks(client) if block.block_type]
    if not types:
        seen = f"There is no notification block {ALERT_BLOCK}: nobody is told of a failure."
        return CheckResult(check, "warning", seen, f"Set ACSYNC_ALERT_URL, and {DEPLOY.lower()}")
    return CheckResult(check, "ok", f"They go through {ALERT_BLOCK} ({', '.join(types)}).")
