"""Read what a sync needs apart from its slices: the metadata, and each dataset's newest page."""

from dataclasses import replace

from acsync.activecampaign.client import Client
from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.page import record_id
from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DIMENSIONS, LISTINGS, DatasetName, Listing, ListingName
from acsync.errors import AccountError, SyncFailed
from acsync.readings import ListingRows
from acsync.store.database import Database
from acsync.store.dimensions import read_dimension
from acsync.sync.context import SyncContext
from acsync.sync.gap_fill import End, make_gap_fill
from acsync.sync.job import Job


def read_metadata(context: SyncContext, name: ListingName) -> ListingRows:
    """Read a small collection, such as the custom fields, with the keys that explain records."""
    context.progress.enter("reading metadata")
    return read_with_known(context.client, context.database, name)


def read_with_known(client: Client, database: Database, name: ListingName) -> ListingRows:
    """Read a small collection, and the last known rows that it no longer has.

    If an optional one cannot be read, or one is suddenly empty, its last known rows are returned
    with a warning.
    """
    listing = LISTINGS[name]
    known = read_dimension(database, name) if name in DIMENSIONS else ListingRows([])
    try:
        answer = read_listing(client, listing)
    except AccountError as error:
        if not listing.optional:
            raise
        return _last_known(known, listing, error.message)
    if not answer.rows and (known.rows or (listing.optional and not listing.may_be_empty)):
        last_known = _last_known(known, listing, "it is empty.")
        if not listing.may_be_empty:
            return last_known
        return replace(last_known, rows=[], vanished=known.all_rows)
    # The API documents no order, and a sync only resumes if the rows are the same: sort by id.
    rows = sorted(answer.rows, key=record_id)
    listed = {*map(record_id, rows)}
    return replace(
        answer,
        rows=[{key: row.get(key) for key in listing.keys} for row in rows],
        vanished=[row for row in known.all_rows if record_id(row) not in listed],
    )


def _last_known(known: ListingRows, listing: Listing, reason: str) -> ListingRows:
    count = len(known.rows)
    warning = f"the last {count} known {listing.name} are kept: /{listing.path}: {reason}"
    return replace(known, warnings=(warning,))


def read_newest(context: SyncContext, name: DatasetName) -> WalkPage:
    """Read the newest page of a dataset, with the relations that the account sends."""
    return context.walk(name, context.settings.relations(name)).read_newest()


def read_newest_again(context: SyncContext, job: Job) -> End:
    """Read and stage the newest page of a dataset while its last slices are read.

    Every record up to this page must be read. A record that is deleted after this page and before
    its slice is read is counted in the page's total but not read; `verify` then counts again.
    """
    if context.readers.is_cancelled(job.dataset):
        raise SyncFailed(f"A slice of the {job.dataset} failed before its newest page was read.")
    end = make_gap_fill(context, job).read_newest()
    end.page.release()
    return end
