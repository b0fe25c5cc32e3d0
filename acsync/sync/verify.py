"""Verify a dataset: fill what its walk left open, prove that nothing is missing, or refuse."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DATASETS, DatasetName
from acsync.errors import SyncFailed
from acsync.models import CustomField, Interval, Plan, Warnings
from acsync.store.snapshot import count_staged
from acsync.store.staging import drop_plan, read_coverage
from acsync.store.sync_log import read_differences, record_total
from acsync.sync.completeness import (
    Walked,
    count_difference,
    is_emptied,
    judge_total,
    require_complete,
)
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import Job, SliceCounts, stage_pages, warn_of_left_out
from acsync.sync.gap_fill import GapFill
from acsync.sync.hidden_records import add_alive, ask_for_hidden, warn_of_hidden
from acsync.sync.shrink_guard import require_no_shrink


@dataclass(frozen=True)
class Verified:
    """A staged dataset that may be published; only `verify` makes one.

    `records` are staged, `cleaned` characters were removed, `duration_ms` since its newest page was
    asked for.
    """

    dataset: DatasetName
    records: int
    cleaned: int
    duration_ms: int
    warnings: Warnings = ()
    fields: tuple[CustomField, ...] = ()


@dataclass(frozen=True)
class End:
    """The newest page of a dataset as its last slices were read, staged and without its rows.

    `counts` are those of the page; it has none where there are no records.
    """

    page: WalkPage
    counts: Sequence[SliceCounts]


def read_newest_again(context: SyncContext, job: Job) -> End:
    """Read and stage the newest page of a dataset, while its last slices are read.

    Up to this page nothing may be missing. A record that is deleted between this page and its own
    slice is in the total of this page, and is not read: `verify` then counts again.
    """
    if job.cancelled.is_set():
        raise SyncFailed(f"A slice of the {job.dataset} failed before its newest page was read.")
    counts: list[SliceCounts] = []
    page = _gap_fill(context, job, counts).read_newest()
    page.release()
    return End(page, counts)


def _gap_fill(context: SyncContext, job: Job, counts: list[SliceCounts]) -> GapFill:
    """Return what closes the job's walk; the counts of what it stages are added to `counts`."""

    def stage(number: int, pages: Iterable[WalkPage]) -> None:
        counts.append(stage_pages(context, job, number, pages))

    def covered() -> dict[int, Interval]:
        return read_coverage(context.database, context.sync, job.dataset)

    return GapFill(context.walk(job.dataset, job.plan.relations), job.plan, covered, stage)


def verify(context: SyncContext, job: Job, copied: Sequence[SliceCounts], end: End) -> Verified:
    """Read what moved past the reader, then require completeness and no suspicious loss.

    `copied` are the counts of the job's slices. Raises Incomplete or ShrinkRefused if the dataset
    must not be published. No later sync resumes what was judged here.
    """
    context.progress.enter("verifying")
    name, database, sync = job.dataset, context.database, context.sync
    counts = [*copied, *end.counts]
    gap_fill = _gap_fill(context, job, counts)

    def count(newest: WalkPage) -> Walked:
        staged = count_staged(
            database, sync, name, newest_id=newest.newest_id, planned_id=job.plan.newest_id
        )
        return Walked(
            newest.newest_id,
            newest.total,
            records=staged.records,
            planned_records=staged.planned_records,
            newer_records=staged.newer_records,
        )

    walked = close_walk(job.plan, gap_fill, end.page, count, context.recount_pauses)
    drop_plan(database, sync, name)
    record_total(database, sync, name, walked.total, count_difference(job.plan, walked))
    gaps = gap_fill.find_open()
    asked = ask_for_hidden(context, job, gap_fill, walked)
    if asked.alive:
        walked = add_alive(job.plan, walked, asked)
        record_total(database, sync, name, walked.total, count_difference(job.plan, walked))
    require_complete(job.plan, gap_fill.covered().values(), walked)
    warnings = judge_total(job.plan, walked, read_differences(database, sync, name))
    require_no_shrink(context, job)
    cleaned = job.cleaned + sum(one.cleaned for one in counts)
    duration_ms = round((time.monotonic() - job.started) * 1000)
    warnings = (
        *job.warnings,
        *warnings,
        *warn_of_hidden(name, gaps, asked),
        *_warn_of_orphans(context, name),
        *warn_of_left_out(context, job),
    )
    return Verified(name, walked.records, cleaned, duration_ms, warnings, job.enricher.fields)


def close_walk(
    plan: Plan,
    gap_fill: GapFill,
    newest: WalkPage,
    count: Callable[[WalkPage], Walked],
    pauses: Sequence[float],
) -> Walked:
    """Fill the gaps and count what was read; do both again after each pause, in seconds, until no
    gap is left and the total matches.

    Records may have gone meanwhile; a replica may lag; a count and its rows are two queries, a
    count can be cached.
    """
    walked = count(gap_fill.fill(newest))
    for pause in pauses:
        is_odd = count_difference(plan, walked) or is_emptied(plan, walked)
        if not is_odd and not gap_fill.find_open():
            break
        time.sleep(pause)
        walked = count(gap_fill.fill(gap_fill.read_newest()))
    return walked


def _warn_of_orphans(context: SyncContext, name: DatasetName) -> Warnings:
    keys = Counter(key for key, _ in context.missing_values[name].orphans)
    values = keys.pop(DATASETS[name].sideload, 0)
    warnings = []
    if values:
        warnings.append(
            f"{values:,} custom field values of {name} were not returned by ActiveCampaign, "
            "probably because their field was deleted; all others are published"
        )
    if keys:
        warnings.append(
            f"{keys.total():,} tags and lists that {name} name were not returned by "
            "ActiveCampaign, probably because they were deleted; all others are published"
        )
    return tuple(warnings)
