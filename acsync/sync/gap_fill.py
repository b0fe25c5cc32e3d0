"""Fill the gaps of a walk: records that moved past the reader, and those added since the plan."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from acsync.activecampaign.slices import NO_LIMIT
from acsync.activecampaign.walk import Walk, WalkPage
from acsync.readings import Copied, Interval, Plan, Slice
from acsync.store.staging import FIRST_GAP_SLICE, read_coverage
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import stage_pages
from acsync.sync.job import Job

# How often gaps that open again while they are filled are read before giving up.
MAX_ROUNDS = 5

# Returns the ids that each staged slice covers, by its number.
Covered: TypeAlias = Callable[[], Mapping[int, Interval]]

# Stages neighbouring pages as the slice with a number.
Stage: TypeAlias = Callable[[int, Iterable[WalkPage]], Copied]


@dataclass(frozen=True)
class End:
    """The newest page of a dataset, read and staged at the end of its walk.

    `copied` is of this page and of all that were staged to close gaps.
    """

    page: WalkPage
    copied: Copied = field(default_factory=Copied)


@dataclass(frozen=True)
class GapFill:
    """Reads and stages the records that the planned slices have missed."""

    walk: Walk
    plan: Plan
    covered: Covered
    stage: Stage
    max_rounds: int = MAX_ROUNDS

    def read_newest(self) -> End:
        """Read the newest page and stage it after all other slices."""
        page = self.walk.read_newest(self.plan.page_rows)
        return End(page, self.stage_next([page]) if page.ids else Copied())

    def next_number(self) -> int:
        """Return the number of the next slice."""
        return _next_number(self.covered())

    def stage_next(self, pages: Iterable[WalkPage]) -> Copied:
        """Stage neighbouring pages as a slice after all others."""
        return self.stage(self.next_number(), pages)

    def fill(self, end: End) -> End:
        """Read the gaps below all that was read, then the newest page again.

        Gaps that open in the meantime are read too. Without gaps, `end` is returned.
        """
        through_id = self.last_id()
        for _ in range(self.max_rounds):
            gaps = slice_gaps(self.plan, self.covered(), through_id)
            if not gaps:
                break
            copied = end.copied
            for gap in gaps:
                pages = self.walk.read_slice(gap, self.plan.page_rows)
                copied += self.stage(gap.number, pages)
            # Only now, so that the total does not count records deleted before their gap was read.
            newest = self.read_newest()
            end = End(newest.page, copied + newest.copied)
            through_id = end.page.newest_id
        return end

    def find_open(self) -> list[Interval]:
        """Return the gaps that are left below all that was read.

        Above the newest page, records were deleted or a lagging replica does not show them: the
        plan's newest page had later ones.
        """
        return find_gaps(self.covered().values(), self.last_id())

    def last_id(self) -> int:
        """Return the highest id that was read."""
        return max((interval.last for interval in self.covered().values()), default=0)


def make_gap_fill(context: SyncContext, job: Job) -> GapFill:
    """Return the gap fill of a job, which stages in Postgres."""
    return GapFill(
        job.open_walk(),
        job.plan,
        partial(read_coverage, context.database, context.sync, job.dataset),
        partial(stage_pages, context, job),
    )


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
    """Return a number for the next slice that fills a gap."""
    return max([FIRST_GAP_SLICE, *covered]) + 1


def _offset_before(plan: Plan, covered: Mapping[int, Interval], gap: Interval) -> int:
    """Guess the offset of a gap: a page before the next slice that was read.

    Records only move to lower offsets. The reader steps back further if necessary.
    """
    later_offsets = [
        part.offset
        for part in plan.slices
        if part.number in covered and covered[part.number].first > gap.first
    ]
    return max(min(later_offsets, default=plan.total or 0) - plan.page_rows + 1, 0)
