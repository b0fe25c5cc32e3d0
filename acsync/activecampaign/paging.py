"""Walk a collection so that no record is lost, whatever changes under the reader."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from acsync.activecampaign.client import Client, Page
from acsync.activecampaign.slices import Interval, Piece, Slice
from acsync.datasets import Dataset, Listing, Record
from acsync.errors import CallFailed, WalkBroken

END = 2**63 - 1
"""Covered to here: nothing lies behind, as Postgres' largest bigint."""

MOST_REPEATS = 2
"""Pages in a row that may end no later than the one before: more is a server that repeats."""


def record_id(row: Record) -> int:
    """Read a row's id, a string in most answers and a number in some."""
    try:
        number = int(str(row.get("id")))
    except ValueError:
        number = 0
    if not 0 < number < END:
        raise WalkBroken(
            f"ActiveCampaign sent a record without a usable id ({str(row.get('id'))[:40]!r}). "
            "Nothing is published from such a walk; tell ActiveCampaign's support."
        )
    return number


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
        return self._piece(page)

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
        return self.client.get_page(
            self.dataset.path,
            {
                "limit": self.page_size,
                "orders[id]": order,
                "include": self.dataset.sideload,
                **position,
            },
        )

    def _piece(self, page: Page, *, from_start: bool = False, behind: int = 0) -> Piece:
        """Check a page in ascending order, and say which ids it covers."""
        ids = tuple(record_id(row) for row in page.rows)
        self._require_order(ids, behind)
        values = page.sideloads.get(self.dataset.sideload, [])
        self._require_sideload(page.rows, values)
        first = behind + 1 if from_start or behind or not ids else ids[0]
        return Piece(page.rows, values, ids, Interval(first, ids[-1] if ids else END), page.total)

    def _require_order(self, ids: tuple[int, ...], behind: int) -> None:
        for before, after in pairwise((behind, *ids)):
            if after <= before:
                what = "id_greater" if behind and before == behind else "orders[id]"
                raise WalkBroken(
                    f"/{self.dataset.path} gave id {after} behind id {before}: it ignores {what}. "
                    "Nothing can be published from this walk."
                )

    def _require_sideload(self, rows: list[Record], values: list[Record]) -> None:
        """Every value that a record names must have come along; a stub of a deal names none."""
        sent = {str(value.get("id")) for value in values}
        for row in rows:
            named = row.get(self.dataset.sideload)
            if named is None and not row.get("isDisabled"):
                raise WalkBroken(
                    f"/{self.dataset.path} sent record {row['id']} without "
                    f"{self.dataset.sideload}: it ignores include. Custom fields would be lost."
                )
            if missing := {str(name) for name in named or ()} - sent:
                raise CallFailed(
                    f"/{self.dataset.path} sent record {row['id']} without {len(missing)} of its "
                    f"{self.dataset.sideload}. The page is read again."
                )
