"""Run a sync through acsync.sync without Prefect: the same steps, one after the other."""

from dataclasses import replace

from acsync.datasets import DATASETS, DatasetName
from acsync.errors import AcsyncError
from acsync.models import SyncResult
from acsync.settings import Settings
from acsync.sync.context import RECOUNT_PAUSES, SyncContext, open_sync
from acsync.sync.copy_slice import copy_slice, stage_newest
from acsync.sync.job import Job
from acsync.sync.plan import plan
from acsync.sync.publish import publish
from acsync.sync.read import read_metadata, read_newest, read_newest_again
from acsync.sync.verify import Verified, verify


def run_sync(
    settings: Settings,
    datasets: tuple[DatasetName, ...] = tuple(DATASETS),
    accept_shrink: bool = False,
    recount_pauses: tuple[float, ...] = RECOUNT_PAUSES,
) -> SyncResult:
    """Run one sync; a dataset that fails in one step does not affect the other."""
    with open_sync(settings, datasets, accept_shrink=accept_shrink, holder="a test") as opened:
        context = replace(opened, recount_pauses=recount_pauses)
        verified: list[Verified] = []
        failures: dict[DatasetName, str] = {}
        for name in datasets:
            try:
                verified.append(copy_dataset(context, name))
            except AcsyncError as error:
                failures[name] = str(error)
        return publish(context, verified, failures)


def copy_dataset(context: SyncContext, name: DatasetName) -> Verified:
    """Copy one dataset, from reading its metadata to verifying it."""
    job, copied = copy_slices(context, name)
    return verify(context, job, copied, read_newest_again(context, job))


def copy_slices(context: SyncContext, name: DatasetName) -> tuple[Job, list[int]]:
    """Plan one dataset and copy its slices."""
    job = plan_dataset(context, name)
    return job, [copy_slice(context, job, part) for part in job.slices]


def plan_dataset(context: SyncContext, name: DatasetName) -> Job:
    """Read the metadata and the newest page of a dataset, plan it, and stage that page."""
    metadata = {need: read_metadata(context, need) for need in context.settings.needs(name)}
    newest = read_newest(context, name)
    return stage_newest(context, plan(context, name, newest, metadata), newest)
