"""Store which ids a dataset has and how often each changed; records are made when served."""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple, TypeVar

from acsync.simulator.requests import Call
from acsync.simulator.values import draw

Row = TypeVar("Row")

BLOCK = 120
# Up to this share of the ids, the largest gap between two of them: one part is dense, one sparse.
SPREAD = ((0.3, 2), (0.5, 1), (0.6, 23), (1.0, 5))


class Selected(NamedTuple):
    """A record as it was when its page was selected."""

    id: int
    version: int
    masked: bool


class IdStore:
    """The ids of one dataset, ascending. New ids are the highest, and none is used twice.

    Calls without `orders[id]` are answered in the order of `sort_key`, or in no stable order.
    """

    def __init__(
        self, seed: int, count: int, sort_key: Callable[[int], tuple[str, int]] | None = None
    ) -> None:
        self.ids = array("q", spread_ids(seed, count))
        self.highest = self.ids[-1] if self.ids else 0
        self.versions: Counter[int] = Counter()
        self.deleted: list[int] = []
        self._seed = seed
        self._sort_key = sort_key

    def __contains__(self, record_id: int) -> bool:
        place = bisect_left(self.ids, record_id)
        return place < len(self.ids) and self.ids[place] == record_id

    def add(self, count: int) -> list[int]:
        """Append `count` new ids and return them."""
        added = []
        for _ in range(count):
            self.highest += 1 + draw(self._seed, self.highest) % 3
            added.append(self.highest)
        self.ids.extend(added)
        return added

    def change(self, record_ids: Iterable[int]) -> list[int]:
        """Start the next version of each record that exists, and return their ids."""
        changed = [record_id for record_id in record_ids if record_id in self]
        self.versions.update(changed)
        return changed

    def delete(self, record_ids: Iterable[int]) -> list[int]:
        """Remove the records that exist, and return their ids."""
        removed = {record_id for record_id in record_ids if record_id in self}
        for record_id in removed:
            del self.ids[bisect_left(self.ids, record_id)]
        self.deleted.extend(removed)
        return sorted(removed)

    def select(self, call: Call) -> tuple[list[int], int]:
        """Return the ids of the requested page, and the number of ids within its cursor."""
        id_less = call.whole_number("id_less")
        first = bisect_right(self.ids, call.whole_number("id_greater") or 0)
        end = len(self.ids) if id_less is None else max(first, bisect_left(self.ids, id_less))
        order = call.params.get("orders[id]", "").upper()
        start, stop = call.offset, call.offset + call.limit()
        if order in {"ASC", "DESC"}:
            ids = self.ids[first:end] if order == "ASC" else self.ids[first:end][::-1]
            return ids[start:stop].tolist(), end - first
        if self._sort_key:
            return sorted(self.ids[first:end], key=self._sort_key)[start:stop], end - first
        return without_order(self.ids[first:end], start, stop, call.number), end - first


def without_order(rows: Sequence[Row], start: int, stop: int, call_number: int) -> list[Row]:
    """Return a page that repeats rows of other pages and omits others.

    Rows are shuffled inside blocks wider than a page, and differently for each call.
    """
    # Seen at a real account: 528 of 551 deals, with 551 rows in all.
    start, stop = min(start, len(rows)), min(stop, len(rows))
    page: list[Row] = []
    for block in range(start // BLOCK, stop // BLOCK + 1):
        place = block * BLOCK
        shuffled = [*rows[place : place + BLOCK]]
        Random(call_number * 1_000_003 + block).shuffle(shuffled)  # noqa: S311  # repeatable
        page += shuffled[max(start - place, 0) : max(stop - place, 0)]
    return page


def spread_ids(seed: int, count: int) -> Iterable[int]:
    """Return ids as years of use leave them; the last is about three times their number."""
    largest = (
        next(gap for share, gap in SPREAD if place / count < share) for place in range(count)
    )
    return accumulate(1 + draw(seed, place) % gap for place, gap in enumerate(largest))
