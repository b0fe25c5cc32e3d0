"""Verify a dataset: fill what its walk left open, prove that nothing is missing, or refuse."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from acsync.activecampaign.pagination import WalkPage
from acsync.errors import ShrinkRefused, SyncFailed
from acsync.models import DATASETS, LISTINGS, CustomField, DatasetName, Interval, Plan, Warnings
from acsync.store.snapshot import Loss, count_losses, count_staged
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

# Everyday work takes the fields, or the sight, of fewer records than this.
MIN_SUSPICIOUS = 10


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
    require_complete(job.plan, gap_fill.covered().values(), walked)
    warnings = judge_total(job.plan, walked, read_differences(database, sync, name))
    require_no_shrink(context, job)
    cleaned = job.cleaned + sum(one.cleaned for one in counts)
    duration_ms = round((time.monotonic() - job.started) * 1000)
    warnings = (
        *job.warnings,
        *warnings,
        *_warn_of_deleted(name, gap_fill.find_open()),
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


def _warn_of_deleted(name: DatasetName, gaps: Sequence[Interval]) -> Warnings:
    if not gaps:
        return ()
    return (
        f"no {name} came from id {gaps[0].first} to {gaps[-1].last}, though newer ones had come "
        "before: they are taken for deleted",
    )


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


def require_no_shrink(context: SyncContext, job: Job) -> None:
    """Raise ShrinkRefused where more than ACSYNC_MAX_SHRINK of what is published would be lost.

    Records can vanish, or stay and lose what made them useful. A listing that comes empty is a
    lost permission, however few records it explained.
    """
    if context.accept_shrink:
        return
    name = job.dataset
    losses = count_losses(context.database, context.sync, name)
    empty = [
        need for need, rows in job.metadata.items() if not rows and not LISTINGS[need].optional
    ]
    least = 1 if empty else MIN_SUSPICIOUS
    for loss, least_lost, what in (
        (losses.records, 1, "are gone from the account"),
        (losses.fields, least, "with custom fields have none any more"),
        (losses.sight, MIN_SUSPICIOUS, "that could be seen are masked now"),
        (losses.names, least, "with a pipeline or stage have lost its name"),
    ):
        if loss.lost >= least_lost:
            _require_small(context, name, loss, what)


def _require_small(context: SyncContext, name: DatasetName, loss: Loss, what: str) -> None:
    allowed = context.settings.max_shrink
    if loss.lost <= allowed * loss.had:
        return
    raise ShrinkRefused(
        f"{loss.lost:,} of {loss.had:,} published {name} {what}, more than ACSYNC_MAX_SHRINK "
        f"({allowed:g}) allows.",
        "Check what the user of AC_API_KEY may see. If the loss is right, run: "
        f"acsync sync --only {name} --accept-shrink",
    )
