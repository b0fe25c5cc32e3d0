"""Walk a collection so that no record is lost, whatever changes under the reader."""

from collections.abc import Iterator
from dataclasses import replace

from acsync.activecampaign.answers import Page
from acsync.activecampaign.checking import (
    LARGEST_ID,
    record_id,
    require_order,
    require_possible,
    require_sideload,
)
from acsync.activecampaign.client import ATTEMPTS, Client
from acsync.activecampaign.isolating import Position, describe_neighbourhood
from acsync.activecampaign.slices import Interval, Piece, Slice
from acsync.datasets import Dataset, Listing, Record
from acsync.errors import CallFailed, WalkBroken

END = LARGEST_ID
"""Covered to here: nothing lies behind."""

MOST_REPEATS = 2
"""Pages in a row that may end no later than the one before: more is a server that repeats."""


def read_listing(client: Client, listing: Listing, page_size: int) -> list[Record]:
    """Read a small collection to its end: until a page has no row, whatever the total says.

    Raises WalkBroken where the pages do not add up. `/dealCustomFieldMeta` has no total, and
    whether it honours `offset` is unknown: a first page that comes again ends the walk where it
    had room left.
    """
    rows: dict[int, Record] = {}
    offset = 0
    while True:
        page = client.get_page(listing.path, {"limit": page_size, "offset": offset})
        fresh = {record_id(row): row for row in page.rows}
        if not page.rows or fresh.keys() <= rows.keys():
            break
        rows.update(fresh)
        offset += len(page.rows)
    repeated = bool(page.rows)
    if len(rows) < (page.total or 0) or (repeated and page.total is None and offset >= page_size):
        raise WalkBroken(
            f"/{listing.path} gave {len(rows)} rows and then no other, but has "
            f"{page.total or 'more'}. It is read again by the next sync."
        )
    return list(rows.values())


def _without_end(piece: Piece, through_id: int) -> Piece:
    """Claim no ids behind the slice where the walk ended: records may appear there later."""
    if piece.covered.last < END:
        return piece
    last = max(through_id, *piece.ids, 0)
    return replace(piece, covered=Interval(piece.covered.first, last))


class Walk:
    """The reading of one dataset through one client, `page_size` records asked for a page."""

    def __init__(self, client: Client, dataset: Dataset, page_size: int) -> None:
        self.client = client
        self.dataset = dataset
        self.page_size = page_size

    def read_newest(self) -> Piece:
        """Read the newest page; it has no ids where the account is empty."""
        page = self._get("DESC", offset=0)
        page.rows.reverse()
        newest = self._piece(page)
        require_possible(self.dataset, page.total, newest.newest_id)
        return newest

    def read_slice(self, wanted: Slice) -> Iterator[Piece]:
        """Read one slice page by page; the pieces' intervals together leave no gap."""
        records = 0
        for piece in self._by_id(wanted) if self.dataset.keyset else self._by_offset(wanted):
            yield _without_end(piece, wanted.through_id)
            records += len(piece.ids)
            if records >= wanted.records or piece.covered.last >= wanted.through_id:
                break

    def _by_id(self, wanted: Slice) -> Iterator[Piece]:
        """Go on behind the last id: nothing moves under this reader.

        Only the first page of a slice is found by its offset, which spreads the slices evenly
        however unevenly ids are spread.
        """
        cursor = wanted.after_id
        if cursor is None:
            piece = self._piece(self._get(offset=wanted.offset), from_start=wanted.offset == 0)
            if not piece.ids and wanted.offset > 0:
                return
            yield piece
            cursor = piece.covered.last
        while cursor < END:
            piece = self._piece(self._get(id_greater=cursor), behind=cursor)
            yield piece
            cursor = piece.covered.last

    def _by_offset(self, wanted: Slice) -> Iterator[Piece]:
        """Go on by offset, each page sharing a record with what was read before it.

        The offset moves by the rows received. A higher offset gives later records, also after
        having stepped back; where it does not, the server repeats itself.
        """
        reach, offset, repeats = wanted.after_id, wanted.offset, 0
        before = (-1, 0)
        while reach is None or reach < END:
            piece, found_at = self._read_connected(reach, offset)
            if not piece.ids and found_at > 0:
                return
            if reach is None or piece.covered.last > reach:
                yield piece
                reach, repeats = piece.covered.last, 0
            elif len(piece.ids) == 1:
                yield Piece([], [], (), Interval(reach + 1, END), piece.total)
                return
            elif found_at > before[0] and piece.covered.last <= before[1]:
                repeats += 1
            if repeats > MOST_REPEATS:
                raise WalkBroken(
                    f"/{self.dataset.path} repeats itself: offset {found_at} ends at id "
                    f"{piece.covered.last}, read before. Nothing can be published from this walk."
                )
            before = (found_at, piece.covered.last)
            offset = found_at + len(piece.ids) - 1

    def _read_connected(self, reach: int | None, offset: int) -> tuple[Piece, int]:
        """Read at `offset`, or as far before it as it takes to share a record with `reach`.

        A deletion moves later records up, so that a page can begin behind the next unread one.
        """
        step = self.page_size - 1
        while True:
            piece = self._piece(self._get(offset=offset), from_start=offset == 0)
            if reach is None or offset == 0 or (piece.ids and piece.ids[0] <= reach + 1):
                return piece, offset
            offset, step = max(offset - step, 0), step * 2

    def _get(self, order: str = "ASC", **position: int) -> Page:
        """Read a page; where it does not come, find the record that it does not come for."""

        def read_ids(part: Position, rows: int) -> tuple[int, ...]:
            return tuple(map(record_id, self._ask(order, part, rows, attempts=1).rows))

        try:
            return self._ask(order, position, self.page_size, ATTEMPTS)
        except CallFailed as failed:
            where = describe_neighbourhood(read_ids, position, self.page_size)
            raise CallFailed(f"{failed} {where}".rstrip()) from None

    def _ask(self, order: str, position: Position, rows: int, attempts: int) -> Page:
        return self.client.get_page(
            self.dataset.path,
            {"limit": rows, "orders[id]": order, "include": self.dataset.sideload, **position},
            attempts,
        )

    def _piece(self, page: Page, *, from_start: bool = False, behind: int = 0) -> Piece:
        """Check a page in ascending order, and say which ids it covers."""
        ids = tuple(record_id(row) for row in page.rows)
        require_order(self.dataset, ids, behind)
        values = page.sideloads.get(self.dataset.sideload, [])
        require_sideload(self.dataset, page.rows, values)
        first = behind + 1 if from_start or behind or not ids else ids[0]
        return Piece(page.rows, values, ids, Interval(first, ids[-1] if ids else END), page.total)
