"""The steps of a sync as Prefect tasks, and what became of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.utilities.annotations import opaque, quote

from acsync.activecampaign.client import ATTEMPTS, DEFAULT_LIMITS
from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DatasetName, ListingName
from acsync.errors import (
    AnotherAccount,
    CallFailed,
    Incomplete,
    LeaseLost,
    StoreError,
    sanitize,
)
from acsync.readings import ListingRows
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import copy_slice, stage_newest
from acsync.sync.deal_events import read_deal_events
from acsync.sync.job import Job
from acsync.sync.plan import plan
from acsync.sync.publish import publish
from acsync.sync.read import read_metadata, read_newest, read_newest_again
from acsync.sync.verify import verify

T = TypeVar("T")

# The tasks of each dataset so far.
Steps: TypeAlias = dict[DatasetName, list[PrefectFuture[Any]]]


def is_retryable(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Return whether trying again later may help."""
    error = state.result(raise_on_failure=False)
    retryable = isinstance(error, CallFailed | Incomplete | StoreError | TimeoutError)
    return retryable and not isinstance(error, AnotherAccount | LeaseLost)


RETRIES: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_jitter_factor": 0.2,
    "retry_condition_fn": is_retryable,
    # Long enough if ActiveCampaign asks for the longest pause before each attempt of a call.
    "timeout_seconds": 600 + ATTEMPTS * DEFAULT_LIMITS.max_pause_seconds,
}

# Prefect shows the docstring of each function.
read_metadata_task = task(task_run_name="read {name}", **RETRIES)(read_metadata)
read_newest_task = task(task_run_name="read newest {name}", **RETRIES)(read_newest)


@task(name="plan", task_run_name="plan {name}", **RETRIES)
def plan_task(
    context: SyncContext,
    name: DatasetName,
    newest: WalkPage,
    listings: Mapping[ListingName, ListingRows],
) -> Job:
    """Plan the copy of a dataset from its newest page, and stage that page."""
    return stage_newest(context, plan(context, name, newest, listings), newest)


copy_slice_task = task(task_run_name="{part.title}", **RETRIES)(copy_slice)
read_newest_again_task = task(task_run_name="read newest {job.dataset} again", **RETRIES)(
    read_newest_again
)
read_deal_events_task = task(task_run_name="read deal_events", **RETRIES)(read_deal_events)
verify_task = task(task_run_name="verify {job.dataset}", **RETRIES)(verify)
publish_task = task(
    task_run_name="publish",
    # Publishing is one transaction, and Postgres limits the time of its statements.
    **{**RETRIES, "timeout_seconds": None},
)(publish)


def add_steps(steps: Steps, futures: Mapping[DatasetName, PrefectFuture[Any]]) -> None:
    """Add one more step to each of these datasets."""
    for name, future in futures.items():
        steps[name].append(future)


def healthy(steps: Steps) -> Iterator[DatasetName]:
    """Wait for each dataset's steps in turn; yield the datasets whose steps all completed."""
    yield from (name for name in steps if first_failure(steps[name]) is None)


def as_it_is(value: T) -> T:
    """Mark a task argument so that Prefect does not search it for futures."""
    return cast(T, quote(value))


def result_of(future: PrefectFuture[T]) -> T:
    """Pass a future's result to a task as it is: Prefect does not search it for more futures.

    The task waits for the future, and does not run if that one failed.
    """
    return cast(T, opaque(future))


def is_completed(future: PrefectFuture[Any]) -> bool:
    """Wait for a task; return whether it completed."""
    future.wait()
    return future.state.is_completed()


def first_failure(futures: Sequence[PrefectFuture[Any]]) -> str | None:
    """Return the reason of the first failed task, or None if all completed."""
    for future in futures:
        if not is_completed(future):
            error = future.state.result(raise_on_failure=False)
            return sanitize(str(error) or future.state.message or "unknown")
    return None
