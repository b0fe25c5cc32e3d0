"""Plan a dataset: cut it into slices, or resume the walk of a sync that did not finish."""

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.page import record_id
from acsync.activecampaign.slices import NEWEST_SLICE, plan_slices
from acsync.activecampaign.walk import WalkPage
from acsync.datasets import (
    DATASETS,
    LISTINGS,
    DatasetName,
    Listing,
    ListingName,
    Metadata,
    RelationName,
)
from acsync.errors import AccountError
from acsync.models import ListingRows, Plan, Slice, Warnings
from acsync.store.snapshot import published_rows
from acsync.store.staging import (
    adopt_staging,
    count_staged_records,
    drop_staging,
    keep_plan,
    read_coverage,
    read_resumed,
)
from acsync.store.sync_log import record_plan
from acsync.sync.completeness import has_shrunk
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import Job, stage_pages
from acsync.sync.deadline import longest_resumable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Newest:
    """The newest page of a dataset, the relations that came along, and when it was asked for."""

    page: WalkPage
    relations: tuple[RelationName, ...]
    started: float


def read_metadata(context: SyncContext, name: ListingName) -> ListingRows:
    """Return all rows of a small collection, as far as they explain records.

    If an optional one cannot be read, return its last known rows with a warning.
    """
    context.progress.enter("reading metadata")
    listing = LISTINGS[name]
    try:
        found = read_listing(context.client, listing)
    except AccountError as error:
        if not listing.optional:
            raise
        return _last_known(context, listing, error.message)
    if listing.optional and not found.rows:
        known = _last_known(context, listing, "it is empty.")
        return found if listing.may_be_empty and not known.rows else known
    # In the order of their ids: the API documents none, and a sync resumes where they are the same.
    rows = sorted(found.rows, key=record_id)
    return replace(found, rows=[{key: row.get(key) for key in listing.keys} for row in rows])


def _last_known(context: SyncContext, listing: Listing, reason: str) -> ListingRows:
    known = published_rows(context.database, listing.name)
    warning = f"the last {len(known)} known {listing.name} are kept: /{listing.path}: {reason}"
    return ListingRows(known, (warning,))


def read_newest(context: SyncContext, name: DatasetName) -> Newest:
    """Return the newest page of a dataset, with the relations that the account sends."""
    started = time.monotonic()
    page = context.walk(name, context.settings.relations(name)).read_newest()
    return Newest(page, page.relations, started)


def plan(
    context: SyncContext,
    name: DatasetName,
    newest: Newest,
    listings: Mapping[ListingName, ListingRows],
) -> Job:
    """Return the job of copying a dataset, which goes on from a sync that did not finish.

    `listings` are those that the dataset needs.
    """
    context.progress.enter("planning")
    metadata = {need: listing.rows for need, listing in listings.items()}
    basis = _basis(context, name, metadata, newest.relations)
    resumed = _resume(context, name, basis, newest.page)
    job = _stage_newest(context, _make_job(context, name, newest, metadata, resumed), newest.page)
    if not resumed:
        plan_json = json.dumps(asdict(job.plan))
        keep_plan(context.database, context.sync, name, basis, plan_json)
    record_plan(context.database, context.sync, name, job.plan.total or 0)
    staged = count_staged_records(context.database, context.sync, name)
    context.progress.expect(name, job.plan.total or 0, staged)
    context.deadline.expect_calls((job.plan.total or 0) // job.plan.page_rows)
    warnings = [text for one in listings.values() for text in one.warnings]
    warnings += _warn_of_resumed(context, name)
    return replace(job, warnings=tuple(warnings))


def interleave(jobs: Iterable[Job]) -> list[Slice]:
    """Return the slices to copy of several datasets, in an order in which all end together."""
    turns = [(one.offset / (job.plan.total or 1), one) for job in jobs for one in job.slices]
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def _resume(context: SyncContext, name: DatasetName, basis: str, newest: WalkPage) -> Plan | None:
    """Adopt what a sync that did not finish has staged, and return its plan; else None.

    The plan gets the present total, so that records which were deleted since show as a surplus.
    """
    oldest = longest_resumable(context.settings.max_duration)
    kept = adopt_staging(context.database, context.sync, name, basis, oldest)
    if kept is None:
        return None
    values = json.loads(kept)
    slices = tuple(Slice(**one) for one in values["slices"])
    made = Plan(**values | {"slices": slices, "relations": tuple(values["relations"])})
    if has_shrunk(made, newest.total):
        logger.info("%s were %s, and are %s: all are read again", name, made.total, newest.total)
        drop_staging(context.database, context.sync, name)
        return None
    if newest.total is None:
        return made
    return replace(made, total=newest.total, newest_id=newest.newest_id)


def _make_job(
    context: SyncContext,
    name: DatasetName,
    newest: Newest,
    metadata: Metadata,
    resumed: Plan | None,
) -> Job:
    if resumed is None:
        made = plan_slices(DATASETS[name], newest.page, context.settings.page_size)
        return Job(replace(made, relations=newest.relations), metadata, started=newest.started)
    staged = frozenset(read_coverage(context.database, context.sync, name))
    logger.info("%d slices of %s were staged already", len(staged), name)
    return Job(resumed, metadata, staged, started=newest.started)


def _stage_newest(context: SyncContext, job: Job, newest: WalkPage) -> Job:
    """Stage the newest page, which the plan was made from, unless that is staged already."""
    if NEWEST_SLICE in job.staged or not newest.ids:
        return job
    counts = stage_pages(context, job, NEWEST_SLICE, [newest])
    return replace(job, cleaned=counts.cleaned)


def _warn_of_resumed(context: SyncContext, name: DatasetName) -> Warnings:
    resumed = read_resumed(context.database, context.sync, name)
    if resumed.oldest_read is None:
        return ()
    minutes = math.ceil((context.sync.started_at - resumed.oldest_read).total_seconds() / 60)
    return (
        f"{resumed.records:,} {name} were taken over from a sync that did not finish; the oldest "
        f"was read {minutes} min before this sync started",
    )


def _basis(
    context: SyncContext,
    name: DatasetName,
    metadata: Metadata,
    relations: tuple[RelationName, ...],
) -> str:
    """Return a hash of all that must be the same for a sync to resume what another staged."""
    settings = context.settings
    key = hashlib.blake2b(settings.api_key.get_secret_value().encode(), digest_size=8).hexdigest()
    asked = [settings.page_size, *settings.relations(name), "sent", *relations]
    basis = [version("acsync"), settings.account_url, key, *asked, metadata]
    text = json.dumps(basis, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
