"""The sync as a Prefect flow, a table of contents: each task calls one function of acsync.sync.

The way of one record, in eight functions:

1. `Client.get_page` (acsync.activecampaign.client) fetches the page it is on, in its turn;
2. `Walk.read_slice` (acsync.activecampaign.walk) knows which ids that page covers;
3. `enrich` (acsync.enrich.enricher) joins its fields, pipeline, stage and owner, with pandas;
4. `encode` (acsync.enrich.encoding) writes it as JSON, with a hash;
5. `stage_pages` (acsync.sync.copy_slice) compares that with the published record, and stages it;
6. `verify` (acsync.sync.verify) proves that none is missing beside it;
7. `publish` (acsync.sync.publish) opens its transaction;
8. `publish_dataset` (acsync.store.publish) makes it a version, which the view `ac_contacts` or
   `ac_deals` shows from the commit on.
"""

import socket
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from prefect import flow, get_run_logger, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import opaque, quote

from acsync.activecampaign.client import ATTEMPTS, DEFAULT_LIMITS
from acsync.datasets import DatasetName
from acsync.errors import (
    AcsyncError,
    AnotherAccount,
    CallFailed,
    Incomplete,
    LeaseHeld,
    LeaseLost,
    StoreError,
    SyncFailed,
    sanitize,
)
from acsync.models import Slice, SyncResult
from acsync.settings import Settings
from acsync.sync.context import SyncContext, open_sync
from acsync.sync.copy_slice import Job, SliceCounts, copy_slice
from acsync.sync.plan import interleave, plan, read_metadata, read_newest
from acsync.sync.publish import publish
from acsync.sync.report import report_lines
from acsync.sync.verify import read_newest_again, verify
from flows.blocks import read_account_settings
from flows.notifications import send_recovery
from flows.reporting import (
    Progress,
    describe_data_age,
    emit_field_changes,
    hide_routine_log_lines,
    label_flow_run,
    save_report,
)

T = TypeVar("T")

# Slices read at the same time: enough to make ten calls a second where a call takes a second.
WORKERS = 12

# The name of a completed run that found another sync holding the lease.
TURNED_AWAY = "TurnedAway"


def is_retryable(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Return whether time may help."""
    error = state.result(raise_on_failure=False)
    retryable = isinstance(error, CallFailed | Incomplete | StoreError | TimeoutError)
    return retryable and not isinstance(error, AnotherAccount | LeaseLost)


RETRIES: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_jitter_factor": 0.2,
    "retry_condition_fn": is_retryable,
    # Each attempt of a call may be asked for the longest pause that is obeyed.
    "timeout_seconds": 600 + ATTEMPTS * DEFAULT_LIMITS.max_pause_seconds,
}


# The steps as Prefect tasks: each is one function of acsync.sync, whose docstring Prefect shows.
read_metadata_task = task(task_run_name="read {name}", **RETRIES)(read_metadata)
read_newest_task = task(task_run_name="read newest {name}", **RETRIES)(read_newest)
plan_task = task(task_run_name="plan {name}", **RETRIES)(plan)
copy_slice_task = task(task_run_name="{wanted.title}", **RETRIES)(copy_slice)
read_newest_again_task = task(task_run_name="read newest {job.dataset} again", **RETRIES)(
    read_newest_again
)
verify_task = task(task_run_name="verify {job.dataset}", **RETRIES)(verify)
publish_task = task(
    task_run_name="publish",
    # Publishing is one transaction, and Postgres limits its statements.
    **{**RETRIES, "timeout_seconds": None},
)(publish)


@flow(
    name="sync-activecampaign",
    description="Copy every contact and deal of an ActiveCampaign account into Postgres.",
    task_runner=ThreadPoolTaskRunner(max_workers=WORKERS),  # type: ignore[arg-type]
)
def sync_activecampaign(
    only: DatasetName | None = None, accept_shrink: bool = False, account: str | None = None
) -> State[Any]:
    """Make one complete copy; fail where a dataset could not be published.

    A foreseeable failure becomes the message of the final state, without a traceback.

    Args:
        only: Copy this dataset alone.
        accept_shrink: Publish even if many records are gone.
        account: Name of the block with the credentials; without one, the worker's environment.
    """
    hide_routine_log_lines()
    try:
        settings = read_account_settings(account)
    except AcsyncError as error:
        return Failed(message=str(error), data=error)
    datasets = (only,) if only else settings.datasets
    holder = f"flow run {label_flow_run(settings, datasets)} on {socket.gethostname()}"
    try:
        with open_sync(
            settings,
            datasets,
            accept_shrink=accept_shrink,
            holder=holder,
            flow_run_id=flow_run.id,
        ) as context:
            result = copy_account(context)
    except LeaseHeld as held:
        return Completed(name=TURNED_AWAY, message=str(held))
    except AcsyncError as error:
        message = f"{error} {describe_data_age(settings)}".rstrip()
        return Failed(message=message, data=error)
    return report(settings, result)


def copy_account(context: SyncContext) -> SyncResult:
    """Run the steps; a dataset that fails in one of them leaves the other alone."""
    sync = as_it_is(context)
    read: dict[DatasetName, list[PrefectFuture[Any]]] = {}
    jobs: dict[DatasetName, PrefectFuture[Job]] = {}
    for name in context.datasets:
        needs = context.settings.needs(name)
        listings = {need: read_metadata_task.submit(sync, need) for need in needs}
        newest = read_newest_task.submit(sync, name)
        read[name] = [*listings.values(), newest]
        explained = {need: result_of(listing) for need, listing in listings.items()}
        jobs[name] = plan_task.submit(sync, name, result_of(newest), explained)
    # Imports pandas while the first calls are on their way, before the plans need it.
    import acsync.enrich.enricher  # noqa: F401, PLC0415

    slices = start_slices(context, jobs)
    newest_again = {
        name: read_newest_again_task.submit(sync, result_of(jobs[name])) for name in jobs
    }
    copies = await_slices(jobs, slices)
    verified = {
        name: verify_task.submit(
            sync,
            result_of(jobs[name]),
            [result_of(one) for one in copies[name]],
            result_of(newest_again[name]),
        )
        for name in context.datasets
    }
    failures = {}
    for name in context.datasets:
        steps = [*read[name], jobs[name], *copies[name], newest_again[name], verified[name]]
        if reason := first_failure(steps):
            failures[name] = reason
    healthy = [result_of(verified[name]) for name in context.datasets if name not in failures]
    return publish_task(sync, healthy, failures)


def start_slices(
    context: SyncContext, jobs: Mapping[DatasetName, PrefectFuture[Job]]
) -> dict[PrefectFuture[SliceCounts], Slice]:
    """Start to copy the slices of each dataset once it is planned; return their futures."""
    started: dict[PrefectFuture[SliceCounts], Slice] = {}

    def start(slices: Sequence[Slice]) -> None:
        of_their_jobs = [result_of(jobs[one.dataset]) for one in slices]
        futures = copy_slice_task.map(unmapped(as_it_is(context)), of_their_jobs, slices)
        started.update(zip(futures, slices, strict=True))

    planned = []
    for name, future in jobs.items():
        if not is_completed(future):
            continue
        job = future.result()
        title = f"{name}: about {job.plan.total or 0:,} records to copy"
        get_run_logger().info("%s in %d slices", title, len(job.slices))
        planned.append(job)
        # These take its share of the threads, while the next dataset is planned on the others.
        start(job.slices[: WORKERS // len(jobs)])
    start([one for one in interleave(planned) if one not in started.values()])
    return started


def await_slices(
    jobs: Mapping[DatasetName, PrefectFuture[Job]],
    started: Mapping[PrefectFuture[SliceCounts], Slice],
) -> dict[DatasetName, list[PrefectFuture[SliceCounts]]]:
    """Return the futures of the slices as they completed, and show their progress.

    Once a slice has failed, those of its dataset that are not yet read are cancelled.
    """
    planned = {name: job.result() for name, job in jobs.items() if is_completed(job)}
    copied: dict[DatasetName, list[PrefectFuture[SliceCounts]]] = {name: [] for name in jobs}
    progress = Progress([*planned.values()])
    for future in as_completed(list(started)):
        name = started[future].dataset
        copied[name].append(future)
        progress.advance(started[future])
        if not is_completed(future):
            planned[name].cancelled.set()
    return copied


def as_it_is(value: T) -> T:
    """Mark an argument of a task that Prefect must not walk through in search of futures."""
    return cast(T, quote(value))


def result_of(future: PrefectFuture[T]) -> T:
    """Mark an argument that a future brings, and that Prefect must not walk through either.

    The task waits for it, and does not run where the other task failed.
    """
    return cast(T, opaque(future))


def is_completed(future: PrefectFuture[Any]) -> bool:
    """Wait for a task; return whether it did what it should."""
    future.wait()
    return future.state.is_completed()


def first_failure(futures: Sequence[PrefectFuture[Any]]) -> str | None:
    """Return why the first of the tasks that failed did so, None where all completed."""
    for future in futures:
        if not is_completed(future):
            error = future.state.result(raise_on_failure=False)
            return sanitize(str(error) or future.state.message or "unknown")
    return None


def report(settings: Settings, result: SyncResult) -> State[Any]:
    """Report, and fail the flow run where a dataset failed, so that alerts fire."""
    save_report(result)
    emit_field_changes(result)
    lines = [line.rstrip(".") for line in report_lines(result)]
    for line in lines:
        get_run_logger().info(line)
    summary = f"{'. '.join(lines)}."
    if result.success:
        send_recovery(result)
        return Completed(message=summary, data=result)
    reason = f"{summary} {describe_data_age(settings)}".rstrip()
    return Failed(message=reason, data=SyncFailed(reason))
