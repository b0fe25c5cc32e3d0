"""Walk a collection so that no record is lost, whatever changes under the reader."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from acsync.activecampaign.bad_record import Position, describe_bad_record
from acsync.activecampaign.client import ATTEMPTS, Client
from acsync.activecampaign.responses import (
    LARGEST_ID,
    Page,
    record_id,
    require_order,
    require_plausible_total,
    require_sideload,
)
from acsync.errors import CallFailed, PaginationError
from acsync.models import Dataset, Interval, Plan, Record, Slice

# A page that reaches to here was the last: nothing lies behind it.
END = LARGEST_ID

# Pages in a row that may end no later than the one before; more means a server that repeats.
MAX_REPEATS = 2


@dataclass(frozen=True)
class WalkPage:
    """One page of a walk: its rows in id order, their custom field values, the ids it covers."""

    rows: list[Record]
    values: list[Record]
    ids: tuple[int, ...]
    covered: Interval
    total: int | None

    @property
    def newest_id(self) -> int:
        """Return the last id; 0 where there is no record."""
        return self.ids[-1] if self.ids else 0


class Walk:
    """The reading of one dataset through one client, `page_size` records asked for a page."""

    def __init__(self, client: Client, dataset: Dataset, page_size: int) -> None:
        self.client = client
        self.dataset = dataset
        self.page_size = page_size

    def read_newest(self) -> WalkPage:
        """Return the newest page; it has no ids where the account is empty."""
        page = self._get("DESC", offset=0)
        page.rows.reverse()
        newest = self._validate(page)
        require_plausible_total(self.dataset, page.total, newest.newest_id)
        return newest

    def read_slice(self, wanted: Slice) -> Iterator[WalkPage]:
        """Read one slice page by page; the intervals of its pages leave no gap."""
        records = 0
        for page in self._by_id(wanted) if self.dataset.keyset else self._by_offset(wanted):
            yield _limit_coverage(page, wanted.through_id)
            records += len(page.ids)
            if records >= wanted.records or page.covered.last >= wanted.through_id:
                break

    def _by_id(self, wanted: Slice) -> Iterator[WalkPage]:
        """Read on behind the last id, where nothing can move under the reader.

        Only the first page of a slice is found by its offset, which spreads the slices evenly
        however unevenly ids are spread.
        """
        cursor = wanted.after_id
        if cursor is None:
            page = self._validate(self._get(offset=wanted.offset), from_start=wanted.offset == 0)
            if not page.ids and wanted.offset > 0:
                return
            yield page
            cursor = page.covered.last
        while cursor < END:
            page = self._validate(self._get(id_greater=cursor), behind=cursor)
            yield page
            cursor = page.covered.last

    def _by_offset(self, wanted: Slice) -> Iterator[WalkPage]:
        """Read on by offset, each page sharing a record with what was read before it.

        The offset moves by the rows received. A higher offset gives later records, also after
        a step back; where it does not, the server repeats itself.
        """
        reach, offset, repeats = wanted.after_id, wanted.offset, 0
        before = (-1, 0)
        while reach is None or reach < END:
            page, found_at = self._read_connected(reach, offset)
            if not page.ids and found_at > 0:
                return
            if reach is None or page.covered.last > reach:
                yield page
                reach, repeats = page.covered.last, 0
            elif len(page.ids) == 1:
                yield WalkPage([], [], (), Interval(reach + 1, END), page.total)
                return
            elif found_at > before[0] and page.covered.last <= before[1]:
                repeats += 1
            if repeats > MAX_REPEATS:
                raise PaginationError(
                    f"/{self.dataset.path} repeats itself: offset {found_at} ends at id "
                    f"{page.covered.last}, which was read before.",
                    "Nothing can be published from such answers; tell ActiveCampaign's support.",
                )
            before = (found_at, page.covered.last)
            offset = found_at + len(page.ids) - 1

    def _read_connected(self, reach: int | None, offset: int) -> tuple[WalkPage, int]:
        """Read at `offset`, or as far before it as it takes to share a record with `reach`.

        A deletion moves later records up, so that a page can begin behind the next unread one.
        """
        step = self.page_size - 1
        while True:
            page = self._validate(self._get(offset=offset), from_start=offset == 0)
            if reach is None or offset == 0 or (page.ids and page.ids[0] <= reach + 1):
                return page, offset
            offset, step = max(offset - step, 0), step * 2

    def _get(self, order: str = "ASC", **position: int) -> Page:
        """Read a page; where it does not come, find the record that it does not come for."""

        def read_ids(part: Position, rows: int) -> tuple[int, ...]:
            return tuple(map(record_id, self._ask(order, part, rows, attempts=1).rows))

        try:
            return self._ask(order, position, self.page_size, ATTEMPTS)
        except CallFailed as failed:
            where, remedy = describe_bad_record(read_ids, position, self.page_size)
            message = f"{failed.message} {where}".rstrip()
            raise CallFailed(message, remedy or failed.remedy) from None

    def _ask(self, order: str, position: Position, rows: int, attempts: int) -> Page:
        return self.client.get_page(
            self.dataset.path,
            {"limit": rows, "orders[id]": order, "include": self.dataset.sideload, **position},
            attempts,
        )

    def _validate(self, page: Page, *, from_start: bool = False, behind: int = 0) -> WalkPage:
        """Check a page in ascending order, and tell which ids it covers."""
        ids = tuple(record_id(row) for row in page.rows)
        require_order(self.dataset, ids, behind)
        values = page.sideloads.get(self.dataset.sideload, [])
        require_sideload(self.dataset, page.rows, values)
        first = behind + 1 if from_start or behind or not ids else ids[0]
        covered = Interval(first, ids[-1] if ids else END)
        return WalkPage(page.rows, values, ids, covered, page.total)


def _limit_coverage(page: WalkPage, through_id: int) -> WalkPage:
    """Claim no ids behind the slice where the walk ended: records may appear there later."""
    if page.covered.last < END:
        return page
    last = max(through_id, *page.ids, 0)
    return replace(page, covered=Interval(page.covered.first, last))


PAGES_PER_SLICE = 10

# The newest page is read to make the plan, and is data: it is staged as a slice of this number.
NEWEST_SLICE = 0

NO_LIMIT = 2**62


def plan_slices(dataset: Dataset, newest: WalkPage, page_size: int) -> Plan:
    """Cut everything below the newest page into slices.

    Neighbouring slices share one record, and so do neighbouring pages of a walk by offset.
    The rows of the newest page show how many rows the API really gives.
    """
    rows, total = len(newest.ids), newest.total
    page_rows = rows if total is not None and total > rows > 1 else page_size
    step = PAGES_PER_SLICE * page_rows - 1 if dataset.keyset else PAGES_PER_SLICE * (page_rows - 1)
    below = max(total - rows, 0) if total is not None else None
    through_id = newest.ids[0] if newest.ids else 0
    slices = tuple(
        Slice(dataset.name, number, offset, _count_records(step, below, offset), through_id)
        for number, offset in enumerate(range(0, max(below or 0, 1), step), NEWEST_SLICE + 1)
    )
    return Plan(dataset.name, total, newest.newest_id, page_rows, slices)


def _count_records(step: int, below: int | None, offset: int) -> int:
    """Return the records of a slice, with the one it shares with the next slice."""
    if below is None:
        return NO_LIMIT
    return max(min(step, below - offset), 0) + 1
