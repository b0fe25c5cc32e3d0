"""Verify a dataset: fill the gaps of its walk, and prove that no record is missing."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DATASETS, DatasetName, RelationName
from acsync.readings import Copied, Dimension, Warnings
from acsync.results import CustomField
from acsync.spelling import spell_count
from acsync.store.snapshot import count_staged
from acsync.store.staged_plans import drop_plan
from acsync.store.sync_history import read_differences
from acsync.store.sync_log import record_total
from acsync.sync.completeness import Walked, judge_total, require_complete
from acsync.sync.context import SyncContext
from acsync.sync.gap_fill import End, GapFill, make_gap_fill
from acsync.sync.hidden_records import (
    add_alive,
    ask_for_hidden,
    keep_unproven,
    warn_of_hidden,
)
from acsync.sync.job import Job
from acsync.sync.privacy import Privacy
from acsync.sync.shrink_guard import require_no_shrink


@dataclass(frozen=True)
class Verified:
    """A staged dataset that may be published; only `verify` makes one.

    `records` are staged, `cleaned` characters were removed, and `duration_ms` counts from the
    request for its newest page. `dimensions` name the ids of its records. The relations that it
    `left_out` stay as they were last known.
    """

    dataset: DatasetName
    records: int
    cleaned: int
    duration_ms: int
    warnings: Warnings = ()
    fields: tuple[CustomField, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    privacy: Privacy = field(default_factory=Privacy)
    left_out: tuple[RelationName, ...] = ()


def verify(context: SyncContext, job: Job, copied: Sequence[Copied], end: End) -> Verified:
    """Fill the gaps of a dataset's walk, then require that no record is missing or lost.

    `copied` is what was staged of each slice. Raises Incomplete or ShrinkRefused if the
    dataset must not be published; no later sync resumes data that was judged here.
    """
    context.progress.enter("verifying")
    name, database, sync = job.dataset, context.database, context.sync
    gap_fill, count = make_gap_fill(context, job), partial(count_walked, context, job)
    walked, end = close_walk(gap_fill, end, count, context.recount_pauses)
    drop_plan(database, sync, name)
    if unproven := keep_unproven(context, job, gap_fill):
        walked = count(end.page)
    _record_total(context, job, walked)
    gaps = gap_fill.find_open()
    asked = ask_for_hidden(context, job, gap_fill, walked)
    if asked.alive:
        walked = add_alive(walked, asked)
        _record_total(context, job, walked)
    require_complete(gap_fill.covered().values(), walked)
    total_warnings = judge_total(walked, read_differences(database, sync, name))
    require_no_shrink(context, job)
    everything = sum((*copied, job.newest, end.copied, asked.copied), Copied())
    reasons = context.optional_relations[name].reasons
    left_out = job.left_out(reasons)
    return Verified(
        name,
        walked.records,
        everything.cleaned,
        round((time.monotonic() - job.started) * 1000),
        (
            *job.warnings,
            *total_warnings,
            *warn_of_hidden(name, gaps, asked, unproven),
            *_warn_of_orphans(context, name),
            *_warn_of_left_out(job, left_out, reasons),
        ),
        job.enricher.fields,
        job.dimensions(everything.tags, left_out),
        job.privacy,
        left_out,
    )


def count_walked(context: SyncContext, job: Job, newest: WalkPage) -> Walked:
    """Count what was read up to the newest page."""
    staged = count_staged(
        context.database,
        context.sync,
        job.dataset,
        newest_id=newest.newest_id,
        planned_id=job.plan.newest_id,
    )
    return Walked(job.plan, newest.newest_id, newest.total, *staged)


def _record_total(context: SyncContext, job: Job, walked: Walked) -> None:
    total, difference = walked.total, walked.difference
    record_total(context.database, context.sync, job.dataset, total, difference)


def close_walk(
    gap_fill: GapFill,
    end: End,
    count: Callable[[WalkPage], Walked],
    pauses: Sequence[float],
) -> tuple[Walked, End]:
    """Fill the gaps and count; repeat after each pause until nothing is open.

    A walk is open while it has gaps or while the total does not match. Either can pass: records
    are deleted, a replica lags, or a cached count is outdated.
    """
    end = gap_fill.fill(end)
    walked = count(end.page)
    for pause in pauses:
        if not (walked.difference or walked.is_emptied or gap_fill.find_open()):
            break
        time.sleep(pause)
        newest = gap_fill.read_newest()
        end = gap_fill.fill(End(newest.page, end.copied + newest.copied))
        walked = count(end.page)
    return walked, end


def _warn_of_orphans(context: SyncContext, name: DatasetName) -> Warnings:
    keys = Counter(key for key, _ in context.missing_values[name].orphans)
    values = keys.pop(DATASETS[name].sideload, 0)
    warnings = []
    if values:
        warnings.append(
            f"ActiveCampaign did not return {spell_count(values, 'custom field value')} of {name}, "
            "probably because a field was deleted; all others are published"
        )
    if keys:
        relations = spell_count(keys.total(), "tag or list", "tags and lists")
        warnings.append(
            f"ActiveCampaign did not return {relations} of {name}, probably because of a deletion; "
            "all others are published"
        )
    return tuple(warnings)


def _warn_of_left_out(
    job: Job, left_out: Sequence[RelationName], reasons: Mapping[RelationName, str]
) -> Warnings:
    """Warn of the relations that did not come with all records: which, why, and what to set."""
    if not left_out:
        return ()
    rest = ",".join(name for name in job.relations if name not in left_out)
    remedy = f"set ACSYNC_SIDELOADS={rest}" if rest else "leave ACSYNC_SIDELOADS empty"
    return (
        f"ActiveCampaign does not send {' and '.join(left_out)} along with the {job.dataset}: they "
        f"stay as they were last known. {' '.join(dict.fromkeys(reasons.values()))} If this lasts, "
        f"{remedy}",
    )
