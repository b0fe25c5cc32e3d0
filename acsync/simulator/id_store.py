"""Store which ids a dataset has and how often each changed; records are made when served."""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from itertools import accumulate, chain, islice
from random import Random
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from acsync.simulator.requests import Call
from acsync.simulator.values import SECONDS, draw

# A part of a record that can change alone.
Part: TypeAlias = Literal["tags", "lists", "custom fields"]

Row = TypeVar("Row")

BLOCK = 120
# Up to this share of the ids, the largest gap between two of them: one part is dense, one sparse.
SPREAD = ((0.3, 2), (0.5, 1), (0.6, 23), (1.0, 5))


class Selected(NamedTuple):
    """A record as it was when its page was selected.

    `created` and `updated` are seconds since 1970 by the account's clock, if it was created or
    changed since the account is simulated. `tags`, `lists` and `fields` count changes of that part
    alone.
    """

    id: int
    version: int
    masked: bool
    created: float | None = None
    updated: float | None = None
    tags: int = 0
    lists: int = 0
    fields: int = 0


class IdStore:
    """The ids of one dataset, ascending. New ids are the highest, and none is used twice.

    Calls without `orders[id]` are answered in the order of `sort_key`, or in no stable order.
    `first_updated` returns when a record was last changed before the account was simulated.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        first_updated: Callable[[int], float],
        sort_key: Callable[[int], tuple[str, int]] | None = None,
    ) -> None:
        self.ids = array("q", spread_ids(seed, count))
        self.highest = self.ids[-1] if self.ids else 0
        self.versions: Counter[int] = Counter()
        self.parts: Counter[tuple[int, Part]] = Counter()
        self.created: dict[int, float] = {}
        self.updated: dict[int, float] = {}
        self.deleted: list[int] = []
        self._seed = seed
        self._sort_key = sort_key
        self._first_updated = first_updated

    def __contains__(self, record_id: int) -> bool:
        place = bisect_left(self.ids, record_id)
        return place < len(self.ids) and self.ids[place] == record_id

    def selected(self, record_id: int, masked: bool) -> Selected:
        """Return a record as it is now."""
        return Selected(
            record_id,
            self.versions[record_id],
            masked,
            self.created.get(record_id),
            self.updated.get(record_id),
            self.parts[record_id, "tags"],
            self.parts[record_id, "lists"],
            self.parts[record_id, "custom fields"],
        )

    def date(self, record_ids: Iterable[int], now: float) -> None:
        """Move the date of these records; the API has no fractions of seconds."""
        self.updated |= dict.fromkeys(record_ids, float(int(now)))

    def add(self, count: int, now: float) -> list[int]:
        """Append `count` new ids and return them."""
        added = []
        for _ in range(count):
            self.highest += 1 + draw(self._seed, self.highest) % 3
            added.append(self.highest)
        self.ids.extend(added)
        self.created |= dict.fromkeys(added, float(int(now)))
        self.date(added, now)
        return added

    def change(self, record_ids: Iterable[int], now: float) -> list[int]:
        """Start the next version of each record that exists, and return their ids."""
        changed = [record_id for record_id in record_ids if record_id in self]
        self.versions.update(changed)
        self.date(changed, now)
        return changed

    def delete(self, record_ids: Iterable[int]) -> list[int]:
        """Remove the records that exist, and return their ids."""
        removed = {record_id for record_id in record_ids if record_id in self}
        for record_id in removed:
            del self.ids[bisect_left(self.ids, record_id)]
        self.deleted.extend(removed)
        return sorted(removed)

    def restore(self, record_ids: Iterable[int]) -> None:
        """Bring deleted records back with their old ids."""
        for record_id in record_ids:
            self.deleted.remove(record_id)
            insort(self.ids, record_id)

    def select(self, call: Call) -> tuple[list[int], int]:
        """Return the ids of the requested page, and the number of ids within its cursor."""
        known = self.ids
        if since := call.params.get("filters[updated_after]"):
            known = array("q", self._updated_after(datetime.fromisoformat(since).timestamp()))
        id_less = call.whole_number("id_less")
        first = bisect_right(known, call.whole_number("id_greater") or 0)
        end = len(known) if id_less is None else max(first, bisect_left(known, id_less))
        order = call.params.get("orders[id]", "").upper()
        start, stop = call.offset, call.offset + call.limit()
        if order in {"ASC", "DESC"}:
            ids = known[first:end] if order == "ASC" else known[first:end][::-1]
            return ids[start:stop].tolist(), end - first
        if call.params.get("orders[mdate]", "").upper() == "DESC":
            return [*islice(self._newest_first(), start, stop)], end - first
        if self._sort_key:
            return sorted(known[first:end], key=self._sort_key)[start:stop], end - first
        return without_order(known[first:end], start, stop, call.number), end - first

    def _updated_after(self, bound: float) -> list[int]:
        """Return the ids of records changed after a time, ascending."""
        ids = [record_id for record_id, at in self.updated.items() if at > bound]
        if bound < SECONDS[-1]:
            ids += [
                record_id
                for record_id in self.ids
                if record_id not in self.updated and self._first_updated(record_id) > bound
            ]
        return sorted(record_id for record_id in ids if record_id in self)

    def _newest_first(self) -> Iterator[int]:
        """Yield all ids, the last changed first."""
        changed = sorted(self.updated, key=lambda record_id: (self.updated[record_id], record_id))
        left = (record_id for record_id in self._oldest if record_id not in self.updated)
        yield from (each for each in chain(reversed(changed), left) if each in self)

    @cached_property
    def _oldest(self) -> list[int]:
        """Return the ids in the order of their first dates, newest first."""
        return sorted(self.ids, key=self._first_updated, reverse=True)


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
