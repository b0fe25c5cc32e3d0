"""Read what a sync needs apart from its slices: the metadata, and each dataset's newest page."""

from dataclasses import replace

from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.page import record_id
from acsync.activecampaign.walk import WalkPage
from acsync.datasets import LISTINGS, DatasetName, Listing, ListingName
from acsync.errors import AccountError, SyncFailed
from acsync.models import ListingRows
from acsync.store.snapshot import published_rows
from acsync.sync.context import SyncContext
from acsync.sync.gap_fill import End, make_gap_fill
from acsync.sync.job import Job


def read_metadata(context: SyncContext, name: ListingName) -> ListingRows:
    """Read a small collection, such as the custom fields, with the keys that explain records.

    If an optional one cannot be read, its last known rows are returned with a warning.
    """
    context.progress.enter("reading metadata")
    listing = LISTINGS[name]
    try:
        answer = read_listing(context.client, listing)
    except AccountError as error:
        if not listing.optional:
            raise
        return _last_known(context, listing, error.message)
    if listing.optional and not answer.rows:
        known = _last_known(context, listing, "it is empty.")
        return answer if listing.may_be_empty and not known.rows else known
    # The API documents no order, and a sync only resumes if the rows are the same: sort by id.
    rows = sorted(answer.rows, key=record_id)
    return replace(answer, rows=[{key: row.get(key) for key in listing.keys} for row in rows])


def _last_known(context: SyncContext, listing: Listing, reason: str) -> ListingRows:
    rows = published_rows(context.database, listing.name)
    warning = f"the last {len(rows)} known {listing.name} are kept: /{listing.path}: {reason}"
    return ListingRows(rows, (warning,))


def read_newest(context: SyncContext, name: DatasetName) -> WalkPage:
    """Read the newest page of a dataset, with the relations that the account sends."""
    return context.walk(name, context.settings.relations(name)).read_newest()


def read_newest_again(context: SyncContext, job: Job) -> End:
    """Read and stage the newest page of a dataset while its last slices are read.

    Every record up to this page must be read. A record that is deleted after this page and before
    its slice is read is counted in the page's total but not read; `verify` then counts again.
    """
    if job.cancelled.is_set():
        raise SyncFailed(f"A slice of the {job.dataset} failed before its newest page was read.")
    end = make_gap_fill(context, job).read_newest()
    end.page.release()
    return end
