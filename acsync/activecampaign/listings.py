"""Read the small collections that explain records: fields, pipelines, stages and users."""

from acsync.activecampaign.client import Client
from acsync.activecampaign.page import Page
from acsync.datasets import Listing, Record, pick
from acsync.errors import PaginationError
from acsync.readings import ListingRows

# The API's largest page. LIMIT_PER_PAGE is for records only.
PAGE_ROWS = 100

# The API's smallest known page size, which it uses if a request has no limit. A first page with
# fewer rows is complete if its total agrees, or if it has fewer than half of them and no total.
DEFAULT_ROWS, SURELY_ALL = 20, 10

# The order of a listing is not documented, so its pages may repeat one row and skip another. In
# that case it is read again and the readings are merged.
MAX_READINGS = 3


def read_listing(client: Client, listing: Listing) -> ListingRows:
    """Return all rows of a small collection, in the order they arrived.

    Raises PaginationError if every reading has fewer rows than the total.
    """
    rows: dict[int, Record] = {}
    for reading in range(1, MAX_READINGS + 1):
        pages = _read_pages(client, listing)
        for page in pages:
            rows |= zip(page.ids, _with_options(page), strict=True)
        is_last = reading == MAX_READINGS
        if len(rows) >= (pages[-1].total or 0) and (is_last or _is_connected(pages)):
            return ListingRows(list(rows.values()), _warn(listing, len(rows), pages))
    raise PaginationError(
        f"/{listing.path} counts {pages[-1].total} rows, but {MAX_READINGS} readings returned "
        f"{len(rows)}.",
        "Sync again. If it happens again, tell ActiveCampaign's support.",
    )


def _read_pages(client: Client, listing: Listing) -> list[Page]:
    """Read pages until one has no new row, or until the first is surely complete.

    Each page starts at the last row of the page before it.
    """
    pages: list[Page] = []
    seen: set[int] = set()
    offset = 0
    while True:
        page = client.get_page(listing.path, {"limit": PAGE_ROWS, "offset": offset})
        pages.append(page)
        if seen.issuperset(page.ids) or (not offset and _is_complete(page)):
            return pages
        seen.update(page.ids)
        offset += len(page.rows) - 1


def _is_complete(page: Page) -> bool:
    """Return whether a first page surely has all rows.

    A total that agrees is not enough: it may count only the rows of a page that was cut off.
    """
    rows = len(set(page.ids))
    return rows < SURELY_ALL if page.total is None else rows == page.total and rows < DEFAULT_ROWS


def _is_connected(pages: list[Page]) -> bool:
    """Return whether each page shares a row with the pages before it.

    If a row is deleted between two pages, the second may start after a row that was never read.
    """
    seen = set(pages[0].ids)
    for page in pages[1:]:
        if seen.isdisjoint(page.ids):
            return False
        seen.update(page.ids)
    return True


def _with_options(page: Page) -> list[Record]:
    """Return the rows, each contact field with its sideloaded choices; deal fields have theirs."""
    options = page.sideloads.get("fieldOptions")
    if options is None:
        return page.rows
    choices: dict[str, list[Record]] = {}
    for option in options:
        choices.setdefault(str(option.get("field")), []).append(option)
    return [row | _choices_of(choices.get(str(row.get("id")), [])) for row in page.rows]


def _choices_of(options: list[Record]) -> Record:
    """Return the choices as values have them, and as people see them."""
    return {
        "fieldOptions": [option.get("value") for option in options],
        "fieldLabels": [pick(option, "label", "value") for option in options],
    }


def _warn(listing: Listing, rows: int, pages: list[Page]) -> tuple[str, ...]:
    """Warn if rows may be missing: a full page came twice, and there is no total to compare.

    This is a listing that ignores `offset`, as /dealCustomFieldMeta may do. If it has more or fewer
    rows than a full page, they are all there is.
    """
    last = pages[-1]
    is_repeated = len(pages) > 1 and len(last.rows) > 1
    if not is_repeated or last.total is not None or rows != PAGE_ROWS:
        return ()
    return (
        f"/{listing.path} returned the same {PAGE_ROWS} rows twice, so there may be more. Fields "
        "without a definition are named by their id",
    )
