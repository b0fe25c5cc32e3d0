"""Read the small collections that explain records: fields, pipelines, stages and users."""

from acsync.activecampaign.client import Client
from acsync.activecampaign.page import Page, record_id
from acsync.datasets import Listing, Record
from acsync.errors import PaginationError
from acsync.models import ListingRows

# Always the most that the API gives: LIMIT_PER_PAGE is for records.
PAGE_ROWS = 100

# The API's page size without a limit: no smaller one is known. A page with fewer rows is whole
# where its total agrees; where there is no total, it must have fewer than half of that.
DEFAULT_ROWS, SURELY_ALL = 20, 10

# No order is documented for a listing, so its pages can repeat a row and skip another: it is read
# again, and the readings are joined.
MAX_READINGS = 3


def read_listing(client: Client, listing: Listing) -> ListingRows:
    """Return all rows of a small collection, in the order they came.

    Raises PaginationError where it has fewer rows than its total, however often it is read.
    """
    rows: dict[int, Record] = {}
    for reading in range(1, MAX_READINGS + 1):
        total, is_repeated, is_connected = _read_once(client, listing, rows)
        if len(rows) >= (total or 0) and (is_connected or reading == MAX_READINGS):
            return ListingRows(list(rows.values()), _warn(listing, rows, total, is_repeated))
    raise PaginationError(
        f"/{listing.path} has {total} rows, but gave {len(rows)} in {MAX_READINGS} readings.",
        "Sync again; if it stays, tell ActiveCampaign's support.",
    )


def _read_once(
    client: Client, listing: Listing, rows: dict[int, Record]
) -> tuple[int | None, bool, bool]:
    """Add what is not in `rows` yet; return the total, whether a page came twice, and whether each
    page shared a row with those before it.

    It is read until a page has no new row, but for a first page that is surely all. Where a row is
    deleted between two pages, the second begins behind a row that was never read. Some listings may
    ignore `offset` (unknown for /dealCustomFieldMeta): their first page comes again.
    """
    seen: set[int] = set()
    offset, is_connected = 0, True
    while True:
        page = client.get_page(listing.path, {"limit": PAGE_ROWS, "offset": offset})
        fresh = {record_id(row): row for row in _with_options(page)}
        is_connected &= not seen or not seen.isdisjoint(fresh)
        if fresh.keys() <= seen:
            return page.total, len(page.rows) > 1, is_connected
        rows.update(fresh)
        if not offset and _is_whole(len(fresh), page.total):
            return page.total, False, True
        seen |= fresh.keys()
        offset += len(page.rows) - 1


def _is_whole(rows: int, total: int | None) -> bool:
    """Return whether a first page is surely all there is.

    A total that agrees is no proof by itself: it may count only the page that was cut off.
    """
    return rows < SURELY_ALL if total is None else rows == total and rows < DEFAULT_ROWS


def _with_options(page: Page) -> list[Record]:
    """Return the rows with the choices sideloaded for contact fields; deal fields hold theirs."""
    options = page.sideloads.get("fieldOptions")
    if options is None:
        return page.rows
    choices: dict[str, list[object]] = {}
    for option in options:
        choices.setdefault(str(option.get("field")), []).append(option.get("value"))
    return [{**row, "fieldOptions": choices.get(str(row.get("id")), [])} for row in page.rows]


def _warn(
    listing: Listing, rows: dict[int, Record], total: int | None, is_repeated: bool
) -> tuple[str, ...]:
    """Warn where rows may be missing: a full page that repeats, and no total to compare with.

    A page of more rows than asked for is everything at once, and a shorter one the end.
    """
    if not is_repeated or total is not None or len(rows) != PAGE_ROWS:
        return ()
    return (
        f"/{listing.path} gives {PAGE_ROWS} rows and no others, so there may be more; fields "
        "without a definition are named by their id",
    )
