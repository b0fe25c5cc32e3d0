"""The sync as a Prefect flow. Each task calls one function of acsync.sync.

Eight functions take a record from ActiveCampaign to the views:

1. `Client.get_page` (acsync.activecampaign.client) fetches its page, at the paced rate.
2. `Walk.read_slice` (acsync.activecampaign.walk) determines which ids the page covers.
3. `enrich` (acsync.enrich.enricher) joins fields, pipeline, stage and owner with pandas.
4. `encode` (acsync.enrich.encoding) writes the record as JSON and hashes it.
5. `stage_pages` (acsync.sync.copy_slice) compares the hash with the published one and stages the
   record.
6. `verify` (acsync.sync.verify) proves that no record of its dataset is missing.
7. `publish` (acsync.sync.publish) opens the transaction.
8. `publish_dataset` (acsync.store.publish) inserts the record as a version. After the commit, the
   view `ac_contacts` or `ac_deals` shows it.
"""

import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from prefect import flow, get_run_logger, unmapped
from prefect.client.schemas.objects import State
from prefect.context import TagsContext
from prefect.futures import PrefectFuture, as_completed
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DatasetName
from acsync.errors import (
    AcsyncError,
    LeaseHeld,
    NoFullSync,
    SyncFailed,
    sanitize,
    use_account,
)
from acsync.readings import Copied, Slice
from acsync.results import EventsResult, SyncResult
from acsync.schedule import DEFAULT_INTERVAL
from acsync.settings import Settings
from acsync.spelling import spell_count
from acsync.sync.context import SyncContext, open_sync
from acsync.sync.incremental import Changed, read_changes, require_starts
from acsync.sync.job import Job
from acsync.sync.plan import interleave
from acsync.sync.publish import publish
from acsync.sync.readers import LEAST_READERS, MOST_READERS
from acsync.sync.report import report_lines
from flows.blocks import read_account_settings
from flows.notifications import send_recovery
from flows.reporting import (
    Progress,
    describe_data_age,
    emit_field_changes,
    hide_routine_log_lines,
    label_flow_run,
    save_data_age,
    save_report,
)
from flows.tasks import (
    Steps,
    add_steps,
    as_it_is,
    copy_slice_task,
    first_failure,
    healthy,
    is_completed,
    plan_task,
    publish_task,
    read_deal_events_task,
    read_metadata_task,
    read_newest_again_task,
    read_newest_task,
    result_of,
    verify_task,
)

# State name of a run that completed without a sync: another one is running, or an incremental sync
# has no full one to start from.
TURNED_AWAY = "TurnedAway"


@flow(
    name="sync-activecampaign",
    description="Copy every contact and deal of an ActiveCampaign account into Postgres.",
    task_runner=ThreadPoolTaskRunner(max_workers=MOST_READERS),  # type: ignore[arg-type]
)
def sync_activecampaign(
    only: DatasetName | None = None,
    accept_shrink: bool = False,
    account: str | None = None,
    incremental: bool = False,
) -> State[Any]:
    """Copy the account once. The run fails if a dataset was not published.

    Expected errors become the message of the final state, without a traceback.

    Args:
        only: Copy only this dataset.
        accept_shrink: Publish even if many records are gone.
        account: Name of the block with the credentials. Default: the worker's environment.
        incremental: Read only what changed since the last sync.
    """
    hide_routine_log_lines()
    use_account(account)
    try:
        settings = read_account_settings(account)
    except AcsyncError as error:
        return Failed(message=str(error), data=error)
    datasets = (only,) if only else settings.datasets
    holder = f"flow run {label_flow_run(settings, datasets)} on {socket.gethostname()}"
    try:
        with (
            open_sync(
                settings,
                datasets,
                accept_shrink=accept_shrink,
                holder=holder,
                flow_run_id=flow_run.id,
                kind="incremental" if incremental else "full",
            ) as context,
            # For each tag of a task, Prefect's server would be asked for a slot.
            TagsContext(current_tags=set()),
        ):
            result = copy_changes(context) if incremental else copy_account(context)
    except (LeaseHeld, NoFullSync) as reason:
        return Completed(name=TURNED_AWAY, message=str(reason), data=reason)
    except AcsyncError as error:
        message = f"{error} {describe_data_age(settings)}".rstrip()
        return Failed(message=message, data=error)
    return report(settings, result, incremental)


def copy_changes(context: SyncContext) -> SyncResult:
    """Read what changed in each dataset, and publish it.

    There are no tasks: they are most of what Prefect stores of a run, and it runs every minute.
    The next run is the retry.
    """
    changed, failures = list[Changed](), dict[DatasetName, str]()
    with ThreadPoolExecutor() as threads:
        futures = {
            name: threads.submit(copy_context().run, read_changes, context, name, start)
            for name, start in require_starts(context).items()
        }
    for name, future in futures.items():
        try:
            changed.append(future.result())
        except AcsyncError as error:
            failures[name] = sanitize(str(error))
    return publish(context, changed, failures)


def copy_account(context: SyncContext) -> SyncResult:
    """Run the steps. A dataset that fails in one step does not affect the other.

    No task is submitted after a failed one: Prefect would show it as `NotReady` permanently.
    """
    sync = as_it_is(context)
    listings = {
        name: {need: read_metadata_task.submit(sync, need) for need in context.settings.needs(name)}
        for name in context.datasets
    }
    newest = {name: read_newest_task.submit(sync, name) for name in context.datasets}
    # Import pandas, which the plans need, during the first calls.
    import acsync.enrich.enricher  # noqa: F401, PLC0415

    steps: Steps = {name: [*listings[name].values(), newest[name]] for name in context.datasets}
    jobs = {
        name: plan_task.submit(
            sync,
            name,
            result_of(newest[name]),
            {need: result_of(listing) for need, listing in listings[name].items()},
        )
        for name in healthy(steps)
    }
    add_steps(steps, jobs)
    events = start_events(context, newest)
    slices = start_slices(context, jobs)
    newest_again = {
        name: read_newest_again_task.submit(sync, result_of(jobs[name])) for name in healthy(steps)
    }
    copies = await_slices(context, jobs, slices)
    for name, copied in copies.items():
        steps[name] += copied
    add_steps(steps, newest_again)
    verified = {
        name: verify_task.submit(
            sync,
            result_of(jobs[name]),
            [result_of(copy) for copy in copies[name]],
            result_of(newest_again[name]),
        )
        for name in healthy(steps)
    }
    add_steps(steps, verified)
    failures = {name: reason for name in steps if (reason := first_failure(steps[name]))}
    publishable = [result_of(verified[name]) for name in steps if name not in failures]
    return publish_task(sync, publishable, failures, await_events(events))


def start_events(
    context: SyncContext, newest: Mapping[DatasetName, PrefectFuture[WalkPage]]
) -> PrefectFuture[EventsResult] | None:
    """Start reading the events of the deals, if they are to be read and the deals can be."""
    if not context.reads_events or not is_completed(newest["deals"]):
        return None
    return read_deal_events_task.submit(as_it_is(context), result_of(newest["deals"]))


def await_events(future: PrefectFuture[EventsResult] | None) -> EventsResult | None:
    """Wait for the events. Deals are published without them, with a warning."""
    if future is None:
        return None
    if is_completed(future):
        return future.result()
    reason = (first_failure([future]) or "").rstrip(".")
    return EventsResult(warnings=(f"deal_events were not read. {reason}",))


def start_slices(
    context: SyncContext, jobs: Mapping[DatasetName, PrefectFuture[Job]]
) -> dict[PrefectFuture[Copied], Slice]:
    """Start copying the slices of each dataset as soon as it is planned; return the futures."""
    started: dict[PrefectFuture[Copied], Slice] = {}

    def start(slices: Sequence[Slice]) -> None:
        slice_jobs = [result_of(jobs[part.dataset]) for part in slices]
        futures = copy_slice_task.map(unmapped(as_it_is(context)), slice_jobs, slices)
        started.update(zip(futures, slices, strict=True))

    planned: list[Job] = []
    for name, future in jobs.items():
        if not is_completed(future):
            continue
        job = future.result()
        title = f"{name}: about {spell_count(job.plan.total or 0, 'record')} to copy"
        get_run_logger().info("%s in %d slices", title, len(job.slices))
        planned.append(job)
        # Use this dataset's share of the threads while the next dataset is planned.
        start(job.slices[: LEAST_READERS // len(jobs)])
    start([part for part in interleave(planned) if part not in started.values()])
    return started


def await_slices(
    context: SyncContext,
    jobs: Mapping[DatasetName, PrefectFuture[Job]],
    started: Mapping[PrefectFuture[Copied], Slice],
) -> dict[DatasetName, list[PrefectFuture[Copied]]]:
    """Wait for the slices and show their progress; return their futures by dataset.

    If a slice fails, the unread slices of its dataset are cancelled.
    """
    planned = {name: job.result() for name, job in jobs.items() if is_completed(job)}
    copied: dict[DatasetName, list[PrefectFuture[Copied]]] = {name: [] for name in jobs}
    progress = Progress([*planned.values()])
    for future in as_completed(list(started)):
        name = started[future].dataset
        copied[name].append(future)
        progress.advance(started[future])
        if not is_completed(future):
            context.readers.cancel(name)
    return copied


def report(settings: Settings, result: SyncResult, incremental: bool = False) -> State[Any]:
    """Report the sync. If a dataset failed, the run fails so that alerts are sent.

    An incremental sync runs every minute: if it has no news, only its final state says so.
    """
    lines = [line.rstrip(".") for line in report_lines(result)]
    summary = f"{'. '.join(lines)}."
    if incremental and not result.has_news:
        return Completed(message=summary, data=result)
    save_report(result)
    emit_field_changes(result)
    for line in lines:
        get_run_logger().info(line)
    data_age = describe_data_age(settings)
    save_data_age(settings, data_age)
    if result.success:
        if not incremental:
            send_recovery(result, settings.interval or DEFAULT_INTERVAL)
        return Completed(message=summary, data=result)
    reason = f"{summary} {data_age}".rstrip()
    return Failed(message=reason, data=SyncFailed(reason))
