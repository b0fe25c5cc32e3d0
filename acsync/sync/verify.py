"""Verify a dataset: fill what its walk left open, then prove that nothing is missing."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acsync.activecampaign.pagination import WalkPage
from acsync.models import DatasetName, Warnings
from acsync.store.snapshot import count_staged
from acsync.store.staging import read_coverage
from acsync.sync.completeness import Walked, require_complete
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import Job, SliceCounts, stage_pages
from acsync.sync.gap_fill import fill_gaps
from acsync.sync.shrink_guard import require_no_shrink


@dataclass(frozen=True)
class Verified:
    """A staged dataset that may be published; only `verify` makes one.

    `records` are staged, `cleaned` characters were removed, `duration_ms` since it was planned.
    """

    dataset: DatasetName
    records: int
    cleaned: int
    duration_ms: int
    warnings: Warnings = ()


def verify(context: SyncContext, job: Job, copied: Sequence[SliceCounts]) -> Verified:
    """Read what moved past the reader, then require completeness and no suspicious loss.

    `copied` are the counts of the job's slices. Raises Incomplete or ShrinkRefused where the
    dataset must not be published.
    """
    name, database, sync = job.dataset, context.database, context.sync
    counts = list(copied)

    def stage(number: int, pages: Iterable[WalkPage]) -> None:
        counts.append(stage_pages(context, name, job.metadata, number, pages))

    newest = fill_gaps(
        context.walk(name),
        job.plan,
        covered=lambda: read_coverage(database, sync, name),
        stage=stage,
    )
    staged = count_staged(database, sync, name, job.plan.newest_id)
    walked = Walked(newest.newest_id, newest.total, staged.records, staged.planned_records)
    require_complete(job.plan, read_coverage(database, sync, name).values(), walked)
    require_no_shrink(context, name, staged)
    cleaned = job.cleaned + sum(one.cleaned for one in counts)
    duration_ms = round((time.monotonic() - job.started) * 1000)
    return Verified(name, staged.records, cleaned, duration_ms, job.warnings)
