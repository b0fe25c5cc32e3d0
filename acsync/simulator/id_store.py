"""Store which ids a dataset holds and how often each changed: all there is to store of it."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from random import Random
from typing import NamedTuple

from acsync.simulator.requests import Call
from acsync.simulator.values import draw

BLOCK = 120
# Share of the ids, and the largest gap between two of them: gaps, a dense and a sparse block.
SPREAD = ((0.3, 2), (0.5, 1), (0.6, 23), (1.0, 5))


class Selected(NamedTuple):
    """A record as it was when its page was asked for."""

    id: int
    version: int
    masked: bool


class IdStore:
    """The ids of one dataset, ascending; an id is never used twice, new ones are the highest.

    Calls without `orders[id]` are answered in the order of `sort_key`, or in no stable order.
    """

    def __init__(
        self, seed: int, count: int, sort_key: Callable[[int], tuple[str, int]] | None = None
    ) -> None:
        self.ids = array("q", spread_ids(seed, count))
        self.highest = self.ids[-1] if self.ids else 0
        self.versions: dict[int, int] = {}
        self.deleted: list[int] = []
        self._seed = seed
        self._sort_key = sort_key
        self._sorted: list[int] = []

    def __contains__(self, record: int) -> bool:
        place = bisect_left(self.ids, record)
        return place < len(self.ids) and self.ids[place] == record

    def add(self, count: int) -> list[int]:
        """Append `count` new ids and return them."""
        added = []
        for _ in range(count):
            self.highest += 1 + draw(self._seed, self.highest) % 3
            added.append(self.highest)
        self.ids.extend(added)
        self._sorted.clear()
        return added

    def change(self, records: Iterable[int]) -> list[int]:
        """Start the next version of each record that exists, and return their ids."""
        changed = [record for record in records if record in self]
        for record in changed:
            self.versions[record] = self.versions.get(record, 0) + 1
        return changed

    def delete(self, records: Iterable[int]) -> list[int]:
        """Remove the records that exist, and return their ids."""
        gone = {record for record in records if record in self}
        for record in gone:
            del self.ids[bisect_left(self.ids, record)]
        self.deleted.extend(gone)
        self._sorted.clear()
        return sorted(gone)

    def select(self, call: Call) -> tuple[list[int], int]:
        """Return the ids of the page a call asks for, and how many its cursor leaves."""
        first, end = self.bounds(call)
        limit, order = call.limit(), call.params.get("orders[id]", "").upper()
        if order == "ASC":
            start = min(first + call.offset, end)
            ids = list(self.ids[start : min(start + limit, end)])
        elif order == "DESC":
            stop = max(end - call.offset, first)
            ids = list(self.ids[max(stop - limit, first) : stop])[::-1]
        elif self._sort_key:
            ids = self._by_sort_key(first, end)[call.offset : call.offset + limit]
        else:
            ids = self._without_order(call, first, end)
        return ids, end - first

    def bounds(self, call: Call) -> tuple[int, int]:
        """Return the places between which ids satisfy `id_greater` and `id_less`."""
        first = 0 if call.cursor is None else bisect_right(self.ids, call.cursor)
        end = len(self.ids) if call.id_less is None else bisect_left(self.ids, call.id_less)
        return first, max(first, end)

    def _by_sort_key(self, first: int, end: int) -> list[int]:
        """Return the ids between two places in the order of the key; all are sorted only once."""
        if not self._sorted:
            self._sorted = sorted(self.ids, key=self._sort_key)
        if end - first == len(self.ids):
            return self._sorted
        within = set(self.ids[first:end])
        return [record for record in self._sorted if record in within]

    def _without_order(self, call: Call, first: int, end: int) -> list[int]:
        """Return a page that repeats rows of other pages and omits others.

        Rows are shuffled inside blocks wider than a page, in another way for each call.
        """
        # Seen at a real account: 528 of 551 deals, with 551 rows in all.
        start = min(first + call.offset, end)
        stop = min(start + call.limit(), end)
        ids: list[int] = []
        for block in range((start - first) // BLOCK, (stop - first) // BLOCK + 1):
            place = first + block * BLOCK
            rows = list(self.ids[place : min(place + BLOCK, end)])
            Random(call.number * 1_000_003 + block).shuffle(rows)  # noqa: S311  # repeatable
            ids += rows[max(start - place, 0) : max(stop - place, 0)]
        return ids


def spread_ids(seed: int, count: int) -> Iterable[int]:
    """Return ids as years of use leave them, the last about three times their count."""

    def gap(place: int) -> int:
        largest = next(largest for share, largest in SPREAD if place / count < share)
        return 1 + draw(seed, place) % largest

    return accumulate(gap(place) for place in range(count))
