"""Cut a dataset into slices of about the same number of records, at no call of their own.

The walk stands on one idea: a page ordered by id covers every id from its first row to its
last, so a slice covers an interval of ids, and a dataset is complete when the intervals of
its slices, read at whatever moment, leave no gap. Where records are deleted while being read,
later ones move to lower offsets and a gap opens; it is seen, and read again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from acsync.models import Dataset, DatasetName, Record

PAGES_PER_SLICE = 10
NEWEST_SLICE = 0
"""The number of the slice that planning itself reads: the newest page."""

FIRST_CLOSING_SLICE = 1_000_000
"""Slices that close a walk are numbered from here, behind all planned ones."""


@dataclass(frozen=True)
class Interval:
    """All ids from `first` to `last`, both included, were read."""

    first: int
    last: int


@dataclass(frozen=True)
class WalkPage:
    """One page of a walk: its rows, their custom field values, and the ids it covers."""

    rows: list[Record]
    values: list[Record]
    ids: tuple[int, ...]
    covered: Interval
    total: int | None

    @property
    def newest_id(self) -> int:
        """Give the last id; 0 where there is no record."""
        return self.ids[-1] if self.ids else 0


@dataclass(frozen=True)
class Slice:
    """Some thousand neighbouring records, read by one task.

    It starts at `offset` in id order (behind the id `after_id` where one is given, for which
    the offset is then only a hint) and ends once `records` were read or `through_id` is
    covered.
    """

    dataset: DatasetName
    number: int
    offset: int
    records: int
    through_id: int
    after_id: int | None = None

    @property
    def title(self) -> str:
        """Name the slice for people: `contacts 12,001 to 13,000`.

        A dash between them is not in the font of Prefect's timeline (3.8.8).
        """
        if self.after_id is not None:
            return f"{self.dataset} behind id {self.after_id}"
        return f"{self.dataset} {self.offset + 1:,} to {self.offset + self.records:,}"


@dataclass(frozen=True)
class Plan:
    """How one dataset is walked: its size as the API gave it, its newest id, its slices."""

    dataset: DatasetName
    total: int | None
    newest_id: int
    page_rows: int
    slices: tuple[Slice, ...]


def plan_slices(dataset: Dataset, newest: WalkPage, page_size: int) -> Plan:
    """Cut everything below the newest page into slices.

    Neighbouring slices share one record, and so do neighbouring pages of a walk by offset.
    The rows of the newest page tell how many the API really gives.
    """
    rows, total = len(newest.ids), newest.total
    page_rows = rows if total is not None and total > rows > 1 else page_size
    step = PAGES_PER_SLICE * page_rows - 1 if dataset.keyset else PAGES_PER_SLICE * (page_rows - 1)
    below = max(total - rows, 0) if total is not None else None
    through_id = newest.ids[0] if newest.ids else 0
    slices = tuple(
        Slice(dataset.name, number, offset, _records(step, below, offset), through_id)
        for number, offset in enumerate(range(0, max(below or 0, 1), step), NEWEST_SLICE + 1)
    )
    return Plan(dataset.name, total, newest.newest_id, page_rows, slices)


def _records(step: int, below: int | None, offset: int) -> int:
    """Count the records of a slice with the one it shares with the next; all where unknown."""
    if below is None:
        return 2**62
    return max(min(step, below - offset), 0) + 1


def interleave(plans: Iterable[Plan]) -> list[Slice]:
    """Order the slices of several datasets so that all of them end at about the same time."""
    turns = [(part.number / len(plan.slices), part) for plan in plans for part in plan.slices]
    return [part for _, part in sorted(turns, key=lambda turn: turn[0])]


def find_gaps(intervals: Iterable[Interval], through_id: int) -> list[Interval]:
    """List the ids up to `through_id` that no interval covers."""
    gaps, reach = [], 0
    for interval in sorted(intervals, key=lambda interval: interval.first):
        if interval.first > reach + 1:
            gaps.append(Interval(reach + 1, interval.first - 1))
        reach = max(reach, interval.last)
    if reach < through_id:
        gaps.append(Interval(reach + 1, through_id))
    return gaps


def next_number(covered: Iterable[int]) -> int:
    """Give the number of the next slice that closes a walk, behind all those there are."""
    return max([FIRST_CLOSING_SLICE, *covered]) + 1


def slice_gaps(plan: Plan, covered: Mapping[int, Interval], through_id: int) -> list[Slice]:
    """Give the slices that fill the gaps up to `through_id`; `covered` is by slice number."""
    return [
        Slice(
            plan.dataset,
            number,
            _offset_before(plan, covered, gap),
            records=2**62,
            through_id=gap.last,
            after_id=gap.first - 1,
        )
        for number, gap in enumerate(find_gaps(covered.values(), through_id), next_number(covered))
    ]


def _offset_before(plan: Plan, covered: Mapping[int, Interval], gap: Interval) -> int:
    """Guess where a gap begins: before the offset at which the slice behind it was to begin.

    Records only move up, to lower offsets; the reader steps back further where it must.
    """
    behind = [
        part.offset
        for part in plan.slices
        if part.number in covered and covered[part.number].first > gap.first
    ]
    return max(min(behind, default=plan.total or 0) - plan.page_rows + 1, 0)
