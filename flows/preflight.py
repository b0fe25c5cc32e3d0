"""Check whether Prefect starts syncs on schedule and alerts people when one fails.

A sync that a person starts needs none of it: what is missing is a warning.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from prefect.client.base import ServerType
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_KEY,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)

from acsync.preflight.check_result import CheckResult
from flows.automations import FAILED_AUTOMATION, LOST_AUTOMATION, STALE_AUTOMATION
from flows.blocks import ActiveCampaignAccount
from flows.deployment import WORK_POOL, make_deployment
from flows.notifications import ALERT_BLOCK, find_alert_blocks

# Prefect's own timeouts and retries would wait for minutes where a host drops all packets.
TIMEOUT_SECONDS = 15.0

DEPLOY = "Run: acsync deploy"


def check_prefect(account: str | None) -> Iterator[CheckResult]:
    """Check the API in use and what `acsync deploy` sets up there; start no server for it."""
    check, url = "Prefect API", PREFECT_API_URL.value()
    if not url:
        yield CheckResult(
            check,
            "warning",
            "PREFECT_API_URL is not set: each command starts a server for itself, and nothing "
            "runs on schedule.",
            "Start one with prefect server start, set PREFECT_API_URL to it, and run: acsync "
            "deploy",
        )
        return
    host = urlsplit(url).hostname
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}),
        get_client(sync_client=True, httpx_settings={"timeout": TIMEOUT_SECONDS}) as client,
    ):
        if failure := client.api_healthcheck():
            seen = f"{host} did not answer as a Prefect API ({type(failure).__name__})."
            remedy = "Check PREFECT_API_URL, and that its server runs."
            yield CheckResult(check, "problem", seen, remedy)
            return
        yield _check_lock(client, check, f"{_read_version(client)} at {host}")
        yield _check_deployment(client, make_deployment(account).full_name)
        yield _check_worker(client)
        for name in (FAILED_AUTOMATION, STALE_AUTOMATION, LOST_AUTOMATION):
            yield _check_automation(client, name)
        yield _check_alerts(client)


def _check_lock(client: SyncPrefectClient, check: str, seen: str) -> CheckResult:
    """Warn where anybody who reaches the API gets the account's key and alert URL out of it."""
    slug = ActiveCampaignAccount.get_block_type_slug()
    held = [
        str(document.name)
        for document in client.read_block_documents(limit=None)
        if document.name == ALERT_BLOCK
        or (document.block_type and document.block_type.slug == slug)
    ]
    if not held or not _lets_anybody_in():
        return CheckResult(check, "ok", f"{seen}.")
    return CheckResult(
        check,
        "warning",
        f"{seen} needs no password, and holds {', '.join(sorted(held))}.",
        "Set PREFECT_SERVER_API_AUTH_STRING for the server, and PREFECT_API_AUTH_STRING for all "
        "that use it.",
    )


def _lets_anybody_in() -> bool:
    nobody = {PREFECT_API_AUTH_STRING: None, PREFECT_API_KEY: None, PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nobody), get_client(sync_client=True) as client:
        try:
            client.read_block_documents(limit=1)
        except PrefectHTTPStatusError:
            return False
    return True


def _read_version(client: SyncPrefectClient) -> str:
    cloud = client.server_type == ServerType.CLOUD
    return "Prefect Cloud" if cloud else f"Prefect {client.api_version()}"


def _check_deployment(client: SyncPrefectClient, name: str) -> CheckResult:
    check = "deployment"
    try:
        deployment = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return CheckResult(
            check, "warning", f"{name} does not exist: no sync is scheduled.", DEPLOY
        )
    if deployment.paused or not any(schedule.active for schedule in deployment.schedules):
        seen = f"{name} is paused or has no active schedule."
        return CheckResult(check, "warning", seen, "Resume it in Prefect's UI, under Deployments.")
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
        remedy = f"Run: python -m flows.worker --pool {WORK_POOL}"
        return CheckResult(check, "warning", seen, remedy)
    return CheckResult(check, "ok", f"{', '.join(online)} of the pool {WORK_POOL} is online.")


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
        seen = f"There is no notification block {ALERT_BLOCK}: failures alert nobody."
        return CheckResult(check, "warning", seen, "Set ACSYNC_ALERT_URL, and run: acsync deploy")
    return CheckResult(check, "ok", f"They go through {ALERT_BLOCK} ({', '.join(types)}).")
