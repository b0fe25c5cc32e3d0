"""Plan a dataset: find its size and cut it into slices, or resume the walk of a crashed sync."""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.pagination import NEWEST_SLICE, WalkPage, plan_slices
from acsync.activecampaign.responses import record_id
from acsync.errors import AccountError
from acsync.models import (
    DATASETS,
    LISTINGS,
    DatasetName,
    Listing,
    ListingName,
    ListingRows,
    Metadata,
    Plan,
    RelationName,
    Slice,
)
from acsync.store.snapshot import published_rows
from acsync.store.staging import (
    adopt_staging,
    count_staged_records,
    keep_plan,
    read_coverage,
)
from acsync.store.sync_log import record_plan
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import Job, stage_pages

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
    """Return the job of copying a dataset.

    `listings` are those that the dataset needs. A resumed job keeps the plan that it was begun
    with, and does not need `newest`.
    """
    context.progress.enter("planning")
    metadata = {need: listing.rows for need, listing in listings.items()}
    basis = _basis(context, name, metadata)
    kept = adopt_staging(context.database, context.sync, name, basis)
    job = (
        _resume(context, name, metadata, kept) if kept else _begin(context, name, newest, metadata)
    )
    if not kept:
        plan_json = json.dumps(asdict(job.plan))
        keep_plan(context.database, context.sync, name, basis, plan_json)
    record_plan(context.database, context.sync, name, job.plan.total or 0)
    staged = count_staged_records(context.database, context.sync, name)
    context.progress.expect(name, job.plan.total or 0, staged)
    context.deadline.expect_calls((job.plan.total or 0) // job.plan.page_rows)
    warnings = [text for one in listings.values() for text in one.warnings]
    return replace(job, warnings=tuple(warnings))


def interleave(jobs: Iterable[Job]) -> list[Slice]:
    """Return the slices to copy of several datasets, in an order in which all end together."""
    turns = [(one.offset / (job.plan.total or 1), one) for job in jobs for one in job.slices]
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def _begin(context: SyncContext, name: DatasetName, newest: Newest, metadata: Metadata) -> Job:
    """Stage the newest page, which tells how much there is, and cut the rest into slices."""
    made = plan_slices(DATASETS[name], newest.page, context.settings.page_size)
    job = Job(replace(made, relations=newest.relations), metadata, started=newest.started)
    if not newest.page.ids:
        return job
    counts = stage_pages(context, job, NEWEST_SLICE, [newest.page])
    return replace(job, cleaned=counts.cleaned)


def _resume(context: SyncContext, name: DatasetName, metadata: Metadata, kept: str) -> Job:
    values = json.loads(kept)
    slices = tuple(Slice(**one) for one in values["slices"])
    made = Plan(**values | {"slices": slices, "relations": tuple(values["relations"])})
    staged = frozenset(read_coverage(context.database, context.sync, name))
    logger.info("%d slices of %s were staged already", len(staged), name)
    return Job(made, metadata, staged)


def _basis(context: SyncContext, name: DatasetName, metadata: Metadata) -> str:
    """Return a hash of all that must be the same for a sync to resume what another staged."""
    settings = context.settings
    key = hashlib.blake2b(settings.api_key.get_secret_value().encode(), digest_size=8).hexdigest()
    asked = [settings.page_size, *settings.relations(name)]
    basis = [version("acsync"), settings.account_url, key, *asked, metadata]
    text = json.dumps(basis, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
