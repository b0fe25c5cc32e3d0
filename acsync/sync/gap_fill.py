"""Fill what a walk left open: what moved past the reader, and what appeared since the plan."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from acsync.activecampaign.slices import NO_LIMIT
from acsync.activecampaign.walk import Walk, WalkPage
from acsync.models import Interval, Plan, Slice

# How often gaps that open again while they are filled are read before giving up.
MAX_ROUNDS = 5

# Slices that fill gaps are numbered from here, behind all planned ones.
FIRST_GAP_SLICE = 1_000_000

# Return the ids that each staged slice covers, by its number.
Covered: TypeAlias = Callable[[], Mapping[int, Interval]]

# Stage neighbouring pages as the slice of a number.
Stage: TypeAlias = Callable[[int, Iterable[WalkPage]], object]


@dataclass(frozen=True)
class GapFill:
    """What closes the walk of a plan: it reads, and has staged what it reads."""

    walk: Walk
    plan: Plan
    covered: Covered
    stage: Stage
    max_rounds: int = MAX_ROUNDS

    def read_newest(self) -> WalkPage:
        """Return the newest page, which is staged behind all slices."""
        newest = self.walk.read_newest(self.plan.page_rows)
        if newest.ids:
            self.stage_next([newest])
        return newest

    def stage_next(self, pages: Iterable[WalkPage]) -> None:
        """Stage neighbouring pages as a slice after all others."""
        self.stage(_next_number(self.covered()), pages)

    def fill(self, newest: WalkPage) -> WalkPage:
        """Read the gaps below all that was read; return the newest page as it is then.

        Where there are none, that is the given one. Gaps that open below the newer page meanwhile
        are read as well.
        """
        through_id = self._last_id()
        for _ in range(self.max_rounds):
            gaps = slice_gaps(self.plan, self.covered(), through_id)
            if not gaps:
                break
            for gap in gaps:
                self.stage(gap.number, self.walk.read_slice(gap, self.plan.page_rows))
            # Only now: a record deleted before its gap was read must not be counted any more.
            newest = self.read_newest()
            through_id = newest.newest_id
        return newest

    def find_open(self) -> list[Interval]:
        """Return the gaps that are left below all that was read.

        Above the newest page its records were deleted, or a replica lags and does not show them:
        the plan's newest page saw later ones.
        """
        return find_gaps(self.covered().values(), self._last_id())

    def _last_id(self) -> int:
        return max((one.last for one in self.covered().values()), default=0)


def find_gaps(intervals: Iterable[Interval], through_id: int) -> list[Interval]:
    """Return the ids up to `through_id` that no interval covers."""
    known = [interval for interval in intervals if interval.first <= through_id]
    end = Interval(through_id + 1, through_id + 1)
    gaps, reach = [], 0
    for interval in sorted([*known, end], key=lambda interval: interval.first):
        if interval.first > reach + 1:
            gaps.append(Interval(reach + 1, interval.first - 1))
        reach = max(reach, interval.last)
    return gaps


def slice_gaps(plan: Plan, covered: Mapping[int, Interval], through_id: int) -> list[Slice]:
    """Return the slices that fill the gaps up to `through_id`; `covered` is by slice number."""
    return [
        Slice(
            plan.dataset,
            number,
            _offset_before(plan, covered, gap),
            records=NO_LIMIT,
            through_id=gap.last,
            after_id=gap.first - 1,
        )
        for number, gap in enumerate(find_gaps(covered.values(), through_id), _next_number(covered))
    ]


def _next_number(covered: Iterable[int]) -> int:
    """Return the number of the next slice that fills a gap, behind all there are."""
    return max([FIRST_GAP_SLICE, *covered]) + 1


def _offset_before(plan: Plan, covered: Mapping[int, Interval], gap: Interval) -> int:
    """Guess where a gap begins: before the offset planned for the slice behind it.

    Records only move to lower offsets; the reader steps back further where it must.
    """
    behind = [
        part.offset
        for part in plan.slices
        if part.number in covered and covered[part.number].first > gap.first
    ]
    return max(min(behind, default=plan.total or 0) - plan.page_rows + 1, 0)
