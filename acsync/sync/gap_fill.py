"""Close what a walk left open: what moved past the reader, and what appeared since the plan."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from acsync.activecampaign.pagination import Walk
from acsync.activecampaign.planning import (
    Interval,
    Plan,
    WalkPage,
    find_gaps,
    next_number,
    slice_gaps,
)

MAX_ROUNDS = 5
"""How often gaps that open again while being closed are read before giving up."""

Covered: TypeAlias = Callable[[], Mapping[int, Interval]]
"""Give the ids that each kept slice covers, by its number."""

Keep: TypeAlias = Callable[[int, Iterable[WalkPage]], object]
"""Keep pages that together leave no gap, as the slice of a number."""


def close_gaps(
    walk: Walk, plan: Plan, covered: Covered, keep: Keep, most_rounds: int = MAX_ROUNDS
) -> WalkPage:
    """Read gaps until none is left; gives the newest page, read when everything else was."""
    newest_id = plan.newest_id
    for _ in range(most_rounds):
        for gap in slice_gaps(plan, covered(), newest_id):
            keep(gap.number, walk.read_slice(gap))
        # Only now: a record deleted before its gap was read must not be counted any more.
        newest = walk.read_newest()
        newest_id = newest.newest_id
        if newest.ids:
            keep(next_number(covered()), [newest])
        if not find_gaps(covered().values(), newest_id):
            break
    return newest
