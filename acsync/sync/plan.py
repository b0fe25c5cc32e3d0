"""Plan a dataset: find its size and cut it into slices, or resume the walk of a crashed sync."""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version

from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.pagination import NEWEST_SLICE, plan_slices
from acsync.errors import AccessDenied, PaginationError
from acsync.models import (
    DATASETS,
    LISTINGS,
    DatasetName,
    Listing,
    ListingName,
    ListingRows,
    Metadata,
    Plan,
    Slice,
)
from acsync.store.snapshot import published_owners
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


def read_metadata(context: SyncContext, name: ListingName) -> ListingRows:
    """Return all rows of a small collection; of an optional one, else the last known rows."""
    context.progress.enter("reading metadata")
    listing = LISTINGS[name]
    try:
        found = read_listing(context.client, listing)
    except (AccessDenied, PaginationError) as error:
        if not listing.optional:
            raise
        return _last_known(context, listing, error.message)
    if listing.optional and not found.rows:
        return _last_known(context, listing, "it is empty.")
    return found


def _last_known(context: SyncContext, listing: Listing, reason: str) -> ListingRows:
    known = published_owners(context.database)
    warning = f"the last {len(known)} known {listing.name} are kept: /{listing.path}: {reason}"
    return ListingRows(known, (warning,))


def plan(
    context: SyncContext, name: DatasetName, listings: Mapping[ListingName, ListingRows]
) -> Job:
    """Return the job of copying a dataset; a resumed job keeps the plan it was begun with.

    `listings` are those that the dataset needs.
    """
    context.progress.enter("planning")
    metadata = {need: listing.rows for need, listing in listings.items()}
    basis = _basis(context, name, metadata)
    kept = adopt_staging(context.database, context.sync, name, basis)
    job = _resume(context, name, metadata, kept) if kept else _begin(context, name, metadata)
    if not kept:
        plan_json = json.dumps(asdict(job.plan))
        keep_plan(context.database, context.sync, name, basis, plan_json)
    record_plan(context.database, context.sync, name, job.plan.total or 0)
    staged = count_staged_records(context.database, context.sync, name)
    context.progress.expect(name, job.plan.total or 0, staged)
    context.deadline.expect_calls((job.plan.total or 0) // job.plan.page_rows)
    return replace(job, warnings=tuple(text for one in listings.values() for text in one.warnings))


def interleave(jobs: Iterable[Job]) -> list[Slice]:
    """Return the slices to copy of several datasets, in an order in which all end together."""
    turns = [(one.number / len(job.plan.slices), one) for job in jobs for one in job.slices]
    return [one for _, one in sorted(turns, key=lambda turn: turn[0])]


def _begin(context: SyncContext, name: DatasetName, metadata: Metadata) -> Job:
    """Read the newest page, which tells how much there is, and cut the rest into slices."""
    started = time.monotonic()
    newest = context.walk(name).read_newest()
    cleaned = 0
    if newest.ids:
        cleaned = stage_pages(context, name, metadata, NEWEST_SLICE, [newest]).cleaned
    made = plan_slices(DATASETS[name], newest, context.settings.page_size)
    return Job(made, metadata, cleaned=cleaned, started=started)


def _resume(context: SyncContext, name: DatasetName, metadata: Metadata, kept: str) -> Job:
    values = json.loads(kept)
    made = Plan(**values | {"slices": tuple(Slice(**one) for one in values["slices"])})
    staged = frozenset(read_coverage(context.database, context.sync, name))
    logger.info("%d slices of %s were staged already", len(staged), name)
    return Job(made, metadata, staged)


def _basis(context: SyncContext, name: DatasetName, metadata: Metadata) -> str:
    """Return a hash of all that must be the same for a sync to resume what another staged."""
    explained_by = {need: metadata[need] for need in DATASETS[name].needs}
    settings = context.settings
    key = hashlib.blake2b(settings.api_key.get_secret_value().encode(), digest_size=8).hexdigest()
    basis = [version("acsync"), settings.account_url, key, settings.page_size, explained_by]
    text = json.dumps(basis, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
