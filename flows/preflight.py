"""Check that Prefect runs syncs on schedule and alerts people when one fails.

Syncs that are started by hand work without Prefect's setup, so a missing part is only a warning.
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
from flows.automations import AUTOMATIONS
from flows.blocks import ActiveCampaignAccount
from flows.deployment import WORK_POOL, configured_kinds, make_deployment, warn_of_containers
from flows.notifications import ALERT_BLOCK, find_alert_blocks
from flows.prefect_api import explain_errors, find_deployment, probe, quick_client

DEPLOY = "Run: acsync deploy"


def check_prefect(account: str | None) -> Iterator[CheckResult]:
    """Check the API in use and the objects that `acsync deploy` creates; start no server.

    Raises AcsyncError if the API does not answer.
    """
    check, url = "Prefect API", PREFECT_API_URL.value()
    if not url:
        yield CheckResult(
            check,
            "warning",
            "PREFECT_API_URL is not set: each command starts a temporary server, and nothing "
            "runs on schedule.",
            f"Run prefect server start, set PREFECT_API_URL to its URL. {DEPLOY}",
        )
        return
    host = urlsplit(url).hostname
    with quick_client() as client, explain_errors():
        probe(client)
        yield _check_lock(client, check, f"{_read_version(client)} at {host}")
        for kind in configured_kinds():
            yield _check_deployment(client, make_deployment(account, kind).full_name)
        yield _check_worker(client)
        for name in AUTOMATIONS:
            yield _check_automation(client, name)
        yield _check_alerts(client)


def _check_lock(client: SyncPrefectClient, check: str, seen: str) -> CheckResult:
    """Warn if the API needs no password although it stores a key or an alert URL."""
    slug = ActiveCampaignAccount.get_block_type_slug()
    secret_blocks = [
        str(document.name)
        for document in client.read_block_documents(limit=None)
        if document.name == ALERT_BLOCK
        or (document.block_type and document.block_type.slug == slug)
    ]
    if not secret_blocks or not _lets_anybody_in():
        return CheckResult(check, "ok", f"{seen}.")
    return CheckResult(
        check,
        "warning",
        f"{seen} needs no password, and stores {', '.join(sorted(secret_blocks))}.",
        "Set PREFECT_SERVER_API_AUTH_STRING for the server, and PREFECT_API_AUTH_STRING for all "
        "its clients.",
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
    deployment = find_deployment(client, name)
    if deployment is None:
        seen = f"{name} does not exist: no sync is scheduled."
        return CheckResult(check, "warning", seen, DEPLOY)
    if deployment.paused or not any(schedule.active for schedule in deployment.schedules):
        seen = f"{name} is paused or has no active schedule."
        return CheckResult(check, "warning", seen, "Resume it in Prefect's UI, under Deployments.")
    return CheckResult(check, "ok", f"{name} is scheduled.")


def _check_worker(client: SyncPrefectClient) -> CheckResult:
    check = "worker"
    try:
        pool = client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        seen = f"There is no work pool {WORK_POOL}."
        return CheckResult(check, "warning", seen, DEPLOY)
    if pool.is_paused:
        remedy = f"Run: prefect work-pool resume {WORK_POOL}"
        return CheckResult(check, "warning", f"The work pool {WORK_POOL} is paused.", remedy)
    if seen := warn_of_containers(pool):
        remedy = (
            "Set PREFECT_API_URL to an address that containers reach, or network_mode to host in "
            "the work pool."
        )
        return CheckResult(check, "warning", f"The work pool is of type docker. {seen}", remedy)
    workers = client.read_workers_for_work_pool(WORK_POOL)
    online = [worker.name for worker in workers if worker.status == WorkerStatus.ONLINE]
    if not online:
        seen = f"No worker of the pool {WORK_POOL} is online: scheduled syncs wait."
        return CheckResult(check, "warning", seen, "Run: acsync worker")
    return CheckResult(check, "ok", f"{', '.join(online)} is online in the pool {WORK_POOL}.")


def _check_automation(client: SyncPrefectClient, name: str) -> CheckResult:
    automations = client.read_automations_by_name(name)
    if not automations:
        return CheckResult(name, "warning", "The automation does not exist.", DEPLOY)
    if not any(automation.enabled for automation in automations):
        remedy = f"Run: prefect automation resume '{name}'"
        return CheckResult(name, "warning", "The automation is disabled.", remedy)
    return CheckResult(name, "ok", "The automation is enabled.")


def _check_alerts(client: SyncPrefectClient) -> CheckResult:
    check = "alerts"
    types = [block.block_type.name for block in find_alert_blocks(client) if block.block_type]
    if not types:
        seen = f"There is no notification block {ALERT_BLOCK}: nobody is told about failures."
        return CheckResult(check, "warning", seen, f"Set ACSYNC_ALERT_URL. {DEPLOY}")
    return CheckResult(check, "ok", f"They are sent through {ALERT_BLOCK} ({', '.join(types)}).")
