"""Cut a dataset into slices of about the same number of records, without a call of their own.

The walk stands on one idea: a page in id order covers every id from its first row to its last.
So a slice covers an interval of ids, and a dataset is complete when the intervals of its slices,
read at whatever moment, leave no gap.
"""

from acsync.activecampaign.pagination import WalkPage
from acsync.models import Dataset, Plan, Slice

PAGES_PER_SLICE = 10

# The newest page is read to make the plan, and is data: it is staged as a slice of this number.
NEWEST_SLICE = 0

NO_LIMIT = 2**62


def plan_slices(dataset: Dataset, newest: WalkPage, page_size: int) -> Plan:
    """Cut everything below the newest page into slices.

    Neighbouring slices share one record, and so do neighbouring pages of a walk by offset.
    The rows of the newest page show how many rows the API really gives.
    """
    rows, total = len(newest.ids), newest.total
    page_rows = rows if total is not None and total > rows > 1 else page_size
    step = PAGES_PER_SLICE * page_rows - 1 if dataset.keyset else PAGES_PER_SLICE * (page_rows - 1)
    below = max(total - rows, 0) if total is not None else None
    through_id = newest.ids[0] if newest.ids else 0
    slices = tuple(
        Slice(dataset.name, number, offset, _count_records(step, below, offset), through_id)
        for number, offset in enumerate(range(0, max(below or 0, 1), step), NEWEST_SLICE + 1)
    )
    return Plan(dataset.name, total, newest.newest_id, page_rows, slices)


def _count_records(step: int, below: int | None, offset: int) -> int:
    """Return the records of a slice, with the one it shares with the next slice."""
    if below is None:
        return NO_LIMIT
    return max(min(step, below - offset), 0) + 1
