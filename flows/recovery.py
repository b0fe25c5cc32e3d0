"""Alert once that all is well again, after scheduled syncs failed or did not come.

Only the sync can tell: it looks back at the runs of its deployment, as Prefect's alerts saw them.
"""

from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import deployment, flow_run
from prefect.utilities.urls import url_for

from acsync.models import SyncResult
from acsync.sync.report import report_lines
from flows.automations import FAILED_STATES, STALE_AFTER, SUCCEEDED
from flows.notifications import send_alert
from flows.reporting import warn_on_failure


def send_recovery(result: SyncResult) -> None:
    """Send the alert where an earlier run had failed or was overdue."""
    with warn_on_failure("recovery"):
        if trouble := _trouble_before(deployment.id, flow_run.id):
            run = f"Run: {url_for('flow-run', obj_id=flow_run.id) or flow_run.id}"
            lines = [f"{trouble} This sync is complete.", "", *report_lines(result), "", run]
            send_alert(f"acsync: recovered: {result.account}", "\n".join(lines))


def _trouble_before(deployment_id: str | None, flow_run_id: str) -> str | None:
    """Return what was wrong before this run; None without a deployment, which never alerts."""
    if deployment_id is None:
        return None
    with get_client(sync_client=True) as client:
        ended = _last_run(client, UUID(deployment_id), [SUCCEEDED, *FAILED_STATES], flow_run_id)
        good = _last_run(client, UUID(deployment_id), [SUCCEEDED], flow_run_id)
    since = f"{good.end_time:%Y-%m-%d %H:%M %Z}" if good and good.end_time else "the beginning"
    if ended and ended.state and ended.state.name in FAILED_STATES:
        return f"The last sync had failed, and none was complete since {since}."
    if good and good.end_time and datetime.now(UTC) - good.end_time > STALE_AFTER:
        return f"No sync had completed since {since}."
    return None


def _last_run(
    client: SyncPrefectClient, deployment_id: UUID, names: list[str], but: str
) -> FlowRun | None:
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment_id])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(name=FlowRunFilterStateName(any_=names))
        ),
        sort=FlowRunSort.END_TIME_DESC,
        limit=2,
    )
    return next((run for run in runs if str(run.id) != but), None)
