"""Walk a collection so that no record is lost, whatever changes under the reader.

A page in id order covers the ids from where it was asked to begin to its last row, and nothing
behind it: that no row came is never taken for "there is none".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from acsync.activecampaign.bad_record import Position
from acsync.activecampaign.client import Client
from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.page import Page, record_id, require_order
from acsync.activecampaign.page_reader import MAX_ANSWERS, Order, PageReader
from acsync.activecampaign.sideloads import OptionalRelations, array_keys
from acsync.datasets import Dataset, Record, RelationName
from acsync.errors import CallFailed, PaginationError
from acsync.models import Interval, Plan, Slice

# Pages in a row that may end no later than the one before; more means a server that repeats.
MAX_REPEATS = 2


@dataclass(frozen=True)
class WalkPage:
    """One page of a walk: its rows in id order, their custom field values, the ids it covers.

    `related` are the rows of `relations`, those that the page was read with, by their key.
    `asked_at` is when the page was requested, in monotonic seconds.
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
        """Return the last id; 0 where there is no record."""
        return self.ids[-1] if self.ids else 0

    def release(self) -> None:
        """Let go of all but the ids: the walk holds its page until the next one has come."""
        for rows in (self.rows, self.values, *self.related.values()):
            rows.clear()


class Walk:
    """The reading of one dataset through one client, `page_size` records asked for a page.

    `relations` come with each record, as long as the account sends them; `missing` and `optional`
    are what all walks of a sync through this dataset learn.
    """

    def __init__(
        self,
        client: Client,
        dataset: Dataset,
        page_size: int,
        missing: MissingValues | None = None,
        relations: tuple[RelationName, ...] = (),
        optional: OptionalRelations | None = None,
    ) -> None:
        self.dataset = dataset
        self.pages = PageReader(client, dataset, page_size, missing, relations, optional)
        self._largest = 0

    def read_newest(self, page_rows: int | None = None) -> WalkPage:
        """Return the newest page; it has no ids where the account is empty.

        `page_rows` is how many rows the API gives, where that is known. Raises CallFailed where
        the page stays thin and is another each time.
        """
        if newest := self._read({"offset": 0}, page_rows or self.pages.page_size, "DESC"):
            return newest
        raise CallFailed(
            f"/{self.dataset.path} gave fewer of its newest records than it has, and others in "
            f"each of {MAX_ANSWERS} answers.",
            "Sync again; if it stays, tell ActiveCampaign's support.",
        )

    def read_single(self, wanted_id: int) -> WalkPage | None:
        """Return one record as a page that covers its id, or None if it does not exist."""
        if page := self.pages.read_single(wanted_id):
            return self.make_page(page, (wanted_id,), Interval(wanted_id, wanted_id))
        return None

    def read_slice(self, wanted: Slice, page_rows: int) -> Iterator[WalkPage]:
        """Read one slice page by page; the intervals of its pages leave no gap.

        It ends early where no row comes, or where answers do not agree: what it did not reach is
        then a gap.
        """
        records = 0
        walk = self._by_id if self.dataset.keyset else self._by_offset
        for page in walk(wanted, page_rows):
            yield page
            records += len(page.ids)
            if records >= wanted.records or page.covered.last >= wanted.through_id:
                break

    def _by_id(self, wanted: Slice, page_rows: int) -> Iterator[WalkPage]:
        """Read on behind the last id, where nothing can move under the reader.

        Only the first page of a slice is found by its offset, which spreads the slices evenly
        however unevenly ids are spread.
        """
        position = {"offset": wanted.offset}
        if wanted.after_id is not None:
            position = {"id_greater": wanted.after_id}
        while (page := self._read(position, page_rows)) and page.ids:
            yield page
            position = {"id_greater": page.newest_id}

    def _by_offset(self, wanted: Slice, page_rows: int) -> Iterator[WalkPage]:
        """Read on by offset, each page sharing a record with what was read before it.

        The offset moves by the rows received. A higher offset gives later records, also after
        a step back; where it does not, the server repeats itself.
        """
        reach, offset, repeats = wanted.after_id, wanted.offset, 0
        before = (-1, 0)
        while True:
            page, found_at = self._read_connected(reach, offset, page_rows)
            if page is None or not page.ids:
                return
            if reach is None or page.newest_id > reach:
                yield page
                reach, repeats = page.newest_id, 0
            elif len(page.ids) == 1:
                return
            elif found_at > before[0] and page.newest_id <= before[1]:
                repeats += 1
            if repeats > MAX_REPEATS:
                raise PaginationError(
                    f"/{self.dataset.path} repeats itself: offset {found_at} ends at id "
                    f"{page.newest_id}, which was read before.",
                    "Nothing can be published from such answers; tell ActiveCampaign's support.",
                )
            before = (found_at, page.newest_id)
            offset = found_at + len(page.ids) - 1

    def _read_connected(
        self, reach: int | None, offset: int, page_rows: int
    ) -> tuple[WalkPage | None, int]:
        """Read at `offset`, or as far before it as it takes to share a record with `reach`.

        A deletion moves later records up, so that a page can begin behind the next unread one.
        """
        step = self.pages.page_size - 1
        while True:
            page = self._read({"offset": offset}, page_rows)
            is_connected = page and page.ids and page.ids[0] <= (reach or 0) + 1
            if reach is None or offset == 0 or is_connected:
                return page, offset
            offset, step = max(offset - step, 0), step * 2

    def _read(self, position: Position, page_rows: int, order: Order = "ASC") -> WalkPage | None:
        """Return a page that is full, or the same twice in a row; None where none is.

        A page that is empty, or smaller than the largest one, is asked for again, unless its total
        says that no more rows follow. Where the API clamps the page size, all pages have that size.
        """
        before: WalkPage | None = None
        for _ in range(MAX_ANSWERS):
            answer = self.pages.read(position, order)
            page = self._validate(answer, position, order)
            self._largest = max(self._largest, len(page.ids))
            full = min(max(page_rows, self._largest), answer.limit)
            if page.total is not None and "offset" in position:
                full = min(full, page.total - position["offset"])
            is_full = page.ids and len(page.ids) >= full
            if is_full or (before and page.ids == before.ids):
                return page
            before = page
        return None

    def _validate(self, page: Page, position: Position, order: Order) -> WalkPage:
        """Check a page, turn it into ascending order, and tell which ids it covers.

        Behind an id, and at the first offset, it covers also the ids before its first row.
        """
        if order == "DESC":
            page.rows.reverse()
        ids = tuple(record_id(row) for row in page.rows)
        behind = position.get("id_greater", 0)
        require_order(self.dataset, ids, behind)
        is_from_start = position == {"offset": 0} and order == "ASC"
        first = behind + 1 if is_from_start or "id_greater" in position or not ids else ids[0]
        covered = Interval(first, ids[-1] if ids else first - 1)
        return self.make_page(page, ids, covered)

    def make_page(self, page: Page, ids: tuple[int, ...], covered: Interval) -> WalkPage:
        """Return a response as a page of this walk."""
        values_key, *related_keys = array_keys(self.dataset, page.relations)
        values = page.sideloads.get(values_key, [])
        related = {key: page.sideloads.get(key, []) for key in related_keys}
        return WalkPage(
            page.rows, values, related, ids, covered, page.total, page.asked_at, page.relations
        )


MAX_PAGES_PER_SLICE = 10

# A slice has so much of the pages that are left, and a page at least. Six threads read each of two
# datasets, and with this share all of them read until the end, however long a call takes.
SLICE_SHARE = 1 / 6

# The newest page is read to make the plan, and is data: it is staged as a slice of this number.
NEWEST_SLICE = 0

NO_LIMIT = 2**62


def plan_slices(dataset: Dataset, newest: WalkPage, page_size: int) -> Plan:
    """Cut everything below the newest page into slices, the last ones shorter.

    Neighbouring slices share one record, and so do neighbouring pages of a walk by offset.
    The rows of the newest page show how many rows the API really gives. There are no more records
    than ids, whatever the total says.
    """
    rows, total = len(newest.ids), newest.total
    page_rows = rows if rows > 1 and (total is None or total > rows) else page_size
    below = max(min(total, newest.newest_id) - rows, 0) if total is not None else None
    end = below or 0
    through_id = newest.ids[0] if newest.ids else 0
    slices: list[Slice] = []
    offset = 0
    while not slices or offset < end:
        share = int((end - offset) / page_rows * SLICE_SHARE)
        pages = max(1, min(MAX_PAGES_PER_SLICE, share))
        step = pages * page_rows - 1 if dataset.keyset else pages * (page_rows - 1)
        number, records = NEWEST_SLICE + 1 + len(slices), _count_records(step, below, offset)
        slices.append(Slice(dataset.name, number, offset, records, through_id))
        offset += step
    return Plan(dataset.name, total, newest.newest_id, page_rows, tuple(slices))


def _count_records(step: int, below: int | None, offset: int) -> int:
    """Return the records of a slice, with the one it shares with the next slice."""
    if below is None:
        return NO_LIMIT
    return max(min(step, below - offset), 0) + 1
