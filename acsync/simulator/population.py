"""Know which ids a dataset holds and how often each changed: all there is to store of it."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

from acsync.simulator.chance import draw

Order: TypeAlias = Literal["ASC", "DESC", "default"]


class Selected(NamedTuple):
    """A record as it was when its page was asked for."""

    id: int
    version: int
    masked: bool


@dataclass(frozen=True)
class Window:
    """Which part of a dataset a call asks for."""

    order: Order
    offset: int
    limit: int
    greater_than: int | None = None
    less_than: int | None = None


def spread_ids(seed: int, count: int) -> Iterable[int]:
    """Give ids as years of use leave them: gaps, a dense block, a sparse block; about 3x count."""

    def gap(place: int) -> int:
        share = place / count
        if share < 0.3:
            return 1 + draw(seed, place) % 2
        if share < 0.5:
            return 1
        if share < 0.6:
            return 1 + draw(seed, place) % 23
        return 1 + draw(seed, place) % 5

    return accumulate(gap(place) for place in range(count))


class Population:
    """The ids of one dataset, ascending; an id is never used twice, new ones are the highest."""

    def __init__(self, seed: int, count: int) -> None:
        self.seed = seed
        self.ids = array("q", spread_ids(seed, count))
        self.highest = self.ids[-1] if self.ids else 0
        self.versions: dict[int, int] = {}
        self.deleted: list[int] = []
        self.generation = 0

    def __contains__(self, record: int) -> bool:
        place = bisect_left(self.ids, record)
        return place < len(self.ids) and self.ids[place] == record

    def add(self, count: int) -> list[int]:
        """Append `count` new ids."""
        added = []
        for _ in range(count):
            self.highest += 1 + draw(self.seed, self.highest) % 3
            added.append(self.highest)
        self.ids.extend(added)
        self.generation += 1
        return added

    def change(self, records: Iterable[int]) -> list[int]:
        """Give each record that exists its next version."""
        changed = [record for record in records if record in self]
        for record in changed:
            self.versions[record] = self.versions.get(record, 0) + 1
        return changed

    def delete(self, records: Iterable[int]) -> list[int]:
        """Remove the records that exist."""
        gone = {record for record in records if record in self}
        if len(gone) > 100:
            self.ids = array("q", (record for record in self.ids if record not in gone))
        else:
            for record in gone:
                del self.ids[bisect_left(self.ids, record)]
        self.deleted.extend(gone)
        self.generation += 1
        return sorted(gone)

    def bounds(self, window: Window) -> tuple[int, int]:
        """Give the places between which ids satisfy `id_greater` and `id_less`."""
        first = 0 if window.greater_than is None else bisect_right(self.ids, window.greater_than)
        end = len(self.ids)
        if window.less_than is not None:
            end = bisect_left(self.ids, window.less_than)
        return first, max(first, end)

    def select(self, window: Window) -> list[int]:
        """Give the ids of a page in id order."""
        first, end = self.bounds(window)
        if window.order == "ASC":
            start = min(first + window.offset, end)
            return list(self.ids[start : min(start + window.limit, end)])
        stop = max(end - window.offset, first)
        return list(self.ids[max(stop - window.limit, first) : stop])[::-1]
