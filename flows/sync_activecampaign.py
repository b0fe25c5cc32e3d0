"""The sync, as a table of contents: metadata, plan, copy, close, publish, tell."""

import socket
from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from acsync.activecampaign.pagination import read_listing
from acsync.activecampaign.planning import Plan, Slice, interleave
from acsync.errors import (
    AcsyncError,
    CallFailed,
    Incomplete,
    LeaseHeld,
    LeaseLost,
    StoreError,
    SyncFailed,
    sanitize,
)
from acsync.models import DATASETS, LISTINGS, DatasetName, ListingName
from acsync.sync.allocator import limit_allocator
from acsync.sync.report import report_lines
from flows.blocks import read_account_settings
from flows.copying import SliceCounts, close_dataset, copy_slice
from flows.log_filters import drop_routine_lines
from flows.publishing import publish_datasets
from flows.reporting import Progress, data_age, label_flow_run, publish_report, tell_recovery
from flows.resuming import plan_or_resume
from flows.session import SyncSession, current_session, open_session

WORKERS = 8
"""Slices read at the same time: enough to hold ten calls a second at 700 ms a call."""

TURNED_AWAY = "TurnedAway"
"""The name of a completed run that found another sync holding the lease."""


def is_retryable(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Try again only what time can mend."""
    error = state.result(raise_on_failure=False)
    mendable = isinstance(error, CallFailed | Incomplete | StoreError | TimeoutError)
    return mendable and not isinstance(error, LeaseLost)


RETRIES: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_jitter_factor": 0.2,
    "retry_condition_fn": is_retryable,
    "timeout_seconds": 600,
}


@task(task_run_name="read {name}", **RETRIES)
def read_metadata(name: ListingName) -> int:
    """Read one small collection whole; gives how many rows it has."""
    session = current_session()
    rows = read_listing(session.client, LISTINGS[name], session.settings.page_size)
    session.listings[name] = rows
    return len(rows)


@task(task_run_name="plan {name}", **RETRIES)
def plan(name: DatasetName) -> Plan:
    """Find out how much there is and cut it into slices, or go on with those of a dead sync."""
    return plan_or_resume(current_session(), name)


@task(task_run_name="{wanted.title}", **RETRIES)
def copy(wanted: Slice) -> SliceCounts:
    """Copy one slice into staging."""
    return copy_slice(current_session(), wanted)


@task(task_run_name="close {walked.dataset}", **RETRIES)
def close(walked: Plan) -> int:
    """Close the seams of a walk and let the gate judge it; gives how many records it read."""
    return close_dataset(current_session(), walked).records


@task(task_run_name="publish", cache_policy=NO_CACHE)
def publish() -> None:
    """Publish what passed the gate, in one transaction with the log row."""
    publish_datasets(current_session())


@flow(
    name="sync-activecampaign",
    description="Copy every contact and deal of an ActiveCampaign account into Postgres.",
    task_runner=ThreadPoolTaskRunner(max_workers=WORKERS),  # type: ignore[arg-type]
)
def sync_activecampaign(
    only: DatasetName | None = None, accept_shrink: bool = False, account: str | None = None
) -> State[Any]:
    """Make one complete copy; fails where a dataset could not be published.

    Foreseeable failures become the message of the final state, without a traceback.

    Args:
        only: Copy one dataset alone.
        accept_shrink: Publish even if many records are gone.
        account: Name of the block with the credentials; without one, the worker's environment.
    """
    limit_allocator()
    drop_routine_lines()
    datasets: tuple[DatasetName, ...] = (only,) if only else tuple(DATASETS)
    try:
        settings = read_account_settings(account)
    except AcsyncError as error:
        return Failed(message=str(error), data=error)
    holder = f"flow run {label_flow_run(settings, datasets)} on {socket.gethostname()}"
    try:
        with open_session(settings, datasets, accept_shrink, holder, flow_run.id) as session:
            copy_everything(session)
        return tell(session)
    except LeaseHeld as held:
        return Completed(name=TURNED_AWAY, message=str(held))
    except AcsyncError as error:
        return Failed(message=f"{error} {data_age(settings)}".rstrip(), data=error)


def copy_everything(session: SyncSession) -> None:
    """Run the steps; a dataset that fails in one of them leaves the other alone."""
    needed = dict.fromkeys(need for name in session.datasets for need in DATASETS[name].needs)
    listings = {name: read_metadata.submit(name) for name in needed}
    for name in session.datasets:
        note_failures(session, name, [listings[need] for need in DATASETS[name].needs])

    plans = {name: plan.submit(name) for name in session.healthy}
    for name, planned in plans.items():
        note_failures(session, name, [planned])
    ready = [plans[name].result() for name in session.healthy]

    copy_slices(session, ready)
    closes = {
        walked.dataset: close.submit(walked)
        for walked in ready
        if walked.dataset in session.healthy
    }
    for name, closing in closes.items():
        note_failures(session, name, [closing])
    session.proven = {name: closes[name].result() for name in session.healthy}

    publish()


def copy_slices(session: SyncSession, plans: Sequence[Plan]) -> None:
    """Copy the slices not staged yet, of all datasets side by side, so that they end together."""
    slices = [part for part in interleave(plans) if not session.is_staged(part)]
    for planned in plans:
        title = f"{planned.dataset}: some {planned.total or 0:,} records to copy"
        get_run_logger().info("%s in %d slices", title, len(planned.slices))
    copies = dict(zip(copy.map(slices), slices, strict=True))
    progress = Progress(plans, slices)
    for future in as_completed(list(copies)):
        note_failures(session, copies[future].dataset, [future])
        progress.advance(copies[future].dataset)


def note_failures(
    session: SyncSession, name: DatasetName, futures: Sequence[PrefectFuture[Any]]
) -> None:
    """Wait for tasks, and keep why the first of them failed as the dataset's failure."""
    for future in futures:
        future.wait()
        if not future.state.is_completed():
            error = future.state.result(raise_on_failure=False)
            reason = str(error) or future.state.message or "unknown"
            session.failures.setdefault(name, sanitize(reason))


def tell(session: SyncSession) -> State[Any]:
    """Report, and fail the flow run where a dataset failed, so that alerts fire."""
    outcome = session.outcome()
    publish_report(outcome)
    lines = [line.rstrip(".") for line in report_lines(outcome)]
    for line in lines:
        get_run_logger().info(line)
    summary = f"{'. '.join(lines)}."
    if outcome.success:
        tell_recovery(outcome)
        return Completed(message=summary, data=outcome)
    reason = f"{summary} {data_age(session.settings)}".rstrip()
    return Failed(message=reason, data=SyncFailed(reason))
