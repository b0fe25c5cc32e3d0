"""Walk a collection without losing a record, even if records change during the walk.

A page in id order proves which ids exist between its start and its last row. It proves nothing
about later ids: more records may follow an empty page.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from acsync.activecampaign.bad_record import Position
from acsync.activecampaign.page import NOT_PUBLISHED, Page, require_order
from acsync.activecampaign.page_reader import MAX_ANSWERS, Order, PageReader
from acsync.activecampaign.sideloads import array_keys
from acsync.datasets import Dataset, Record, RelationName
from acsync.errors import CallFailed, PaginationError
from acsync.readings import Interval, Slice

# How many pages in a row may bring no later id than the page before. After that, the server is
# taken to repeat itself.
MAX_REPEATS = 2


@dataclass
class WalkPage:
    """One page of a walk: its rows in id order, their custom field values, the ids it covers.

    `related` holds the rows of the page's `relations`, by the key of their array.
    `asked_at` is the time of the request, in monotonic seconds.
    """

    rows: list[Record]
    values: list[Record]
    related: Mapping[str, list[Record]]
    ids: tuple[int, ...]
    covered: Interval
    total: int | None
    asked_at: float
    relations: tuple[RelationName, ...] = ()

    @property
    def newest_id(self) -> int:
        """Return the last id, or 0 if the page is empty."""
        return self.ids[-1] if self.ids else 0

    def release(self) -> None:
        """Free the memory of the rows. The walk keeps a page until the next one has arrived."""
        for rows in (self.rows, self.values, *self.related.values()):
            rows.clear()


class Walk:
    """Reads one dataset in id order; `pages` keeps its page size, so each walk has another."""

    def __init__(self, pages: PageReader) -> None:
        self.pages = pages
        self.dataset = pages.dataset
        self._largest = 0

    def read_newest(self, page_rows: int | None = None) -> WalkPage:
        """Return the newest page. It has no ids if the account is empty.

        `page_rows` is the API's real page size, if it is known. Raises CallFailed if the page
        stays short and its rows differ on every attempt.
        """
        if newest := self._read({"offset": 0}, page_rows or self.pages.page_size, "DESC"):
            return newest
        raise CallFailed(
            f"/{self.dataset.path} returned a short page of its newest records {MAX_ANSWERS} "
            "times, each time with other records.",
            "Sync again. If it happens again, tell ActiveCampaign's support.",
        )

    def read_single(self, record_id: int) -> WalkPage | None:
        """Return one record as a page that covers its id, or None if it does not exist."""
        if page := self.pages.read_single(record_id):
            return make_page(self.dataset, page, Interval(record_id, record_id))
        return None

    def read_slice(self, slice_: Slice, page_rows: int) -> Iterator[WalkPage]:
        """Read one slice page by page, without a gap between the intervals of the pages.

        The slice ends early if no rows arrive or if the answers disagree. The ids that were not
        reached are then a gap.
        """
        records = 0
        walk = self._by_id if self.dataset.keyset else self._by_offset
        for page in walk(slice_, page_rows):
            yield page
            records += len(page.ids)
            if records >= slice_.records or page.covered.last >= slice_.through_id:
                break

    def _by_id(self, slice_: Slice, page_rows: int) -> Iterator[WalkPage]:
        """Read the records after the last id, which no added or deleted record can shift.

        Only the first page of a slice is found by its offset: it makes slices of equal size, even
        if the ids have large gaps.
        """
        position = {"offset": slice_.offset}
        if slice_.after_id is not None:
            position = {"id_greater": slice_.after_id}
        while (page := self._read(position, page_rows)) and page.ids:
            yield page
            position = {"id_greater": page.newest_id}

    def _by_offset(self, slice_: Slice, page_rows: int) -> Iterator[WalkPage]:
        """Read by offset, so that each page shares a record with the pages before it.

        The offset moves by the number of rows received. A higher offset must bring later records,
        even after a step back. If it does not, the server repeats itself.
        """
        reach, offset, repeats = slice_.after_id, slice_.offset, 0
        previous_offset, previous_end = -1, 0
        while True:
            page, page_offset = self._read_connected(reach, offset, page_rows)
            if page is None or not page.ids:
                return
            if reach is None or page.newest_id > reach:
                yield page
                reach, repeats = page.newest_id, 0
            elif len(page.ids) == 1:
                return
            elif page_offset > previous_offset and page.newest_id <= previous_end:
                repeats += 1
            if repeats > MAX_REPEATS:
                raise PaginationError(
                    f"/{self.dataset.path} repeats itself: offset {page_offset} ends at id "
                    f"{page.newest_id}, which was read before.",
                    NOT_PUBLISHED,
                )
            previous_offset, previous_end = page_offset, page.newest_id
            offset = page_offset + len(page.ids) - 1

    def _read_connected(
        self, reach: int | None, offset: int, page_rows: int
    ) -> tuple[WalkPage | None, int]:
        """Read a page at `offset`, or further back if it does not connect to the id `reach`.

        A deletion moves later records up, so a page can begin after the next unread record.
        """
        step = self.pages.page_size - 1
        while True:
            page = self._read({"offset": offset}, page_rows)
            is_connected = page and page.ids and page.ids[0] <= (reach or 0) + 1
            if reach is None or offset == 0 or is_connected:
                return page, offset
            offset, step = max(offset - step, 0), step * 2

    def _read(self, position: Position, page_rows: int, order: Order = "ASC") -> WalkPage | None:
        """Return the first page that is full or that two requests in a row agree on, else None.

        A page with fewer rows than the largest one is requested again, unless the total says that
        no rows follow. If the API limits the page size, all pages have that size.
        """
        previous: WalkPage | None = None
        for _ in range(MAX_ANSWERS):
            answer = self.pages.read(position, order)
            page = self._validate(answer, position, order)
            self._largest = max(self._largest, len(page.ids))
            full = min(max(page_rows, self._largest), answer.limit)
            if page.total is not None and "offset" in position:
                full = min(full, page.total - position["offset"])
            is_full = page.ids and len(page.ids) >= full
            if is_full or (previous and page.ids == previous.ids):
                return page
            previous = page
        return None

    def _validate(self, page: Page, position: Position, order: Order) -> WalkPage:
        """Check the order of a page, make it ascending, and find which ids it covers.

        A page after an id, or at offset 0, also covers the ids before its first row.
        """
        if order == "DESC":
            page = replace(page, rows=page.rows[::-1])
        ids, after_id = page.ids, position.get("id_greater", 0)
        require_order(self.dataset, ids, after_id)
        covers_start = "id_greater" in position or (position == {"offset": 0} and order == "ASC")
        first = ids[0] if ids and not covers_start else after_id + 1
        return make_page(self.dataset, page, Interval(first, ids[-1] if ids else first - 1))


def make_page(dataset: Dataset, page: Page, covered: Interval) -> WalkPage:
    """Return a page with the ids that it covers."""
    values_key, *related_keys = array_keys(dataset, page.relations)
    values = page.sideloads.get(values_key, [])
    related = {key: page.sideloads.get(key, []) for key in related_keys}
    return WalkPage(
        page.rows, values, related, page.ids, covered, page.total, page.asked_at, page.relations
    )
