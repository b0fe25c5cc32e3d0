"""Plan a walk: cut a dataset into slices that tasks can read at the same time."""

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import Dataset
from acsync.readings import Plan, Slice

MAX_PAGES_PER_SLICE = 10

# The pages of all slices that are read at the same time. More threads read shorter slices, so the
# memory stays the same.
PAGES_OF_ALL = 120

# The newest page is read for the plan, and staged as the slice with this number.
NEWEST_SLICE = 0

NO_LIMIT = 2**62


def plan_slices(dataset: Dataset, newest: WalkPage, page_size: int, readers: int = 12) -> Plan:
    """Cut the records before the newest page into slices, shorter ones at the end.

    Half of the `readers` read each dataset. A slice has at most their share of the remaining pages,
    and at least one page. So all of them are busy until the end, however long a call takes.
    Neighbouring slices share one record, and so do neighbouring pages of a walk by offset.
    The newest page shows the API's real page size. There are never more records than the newest
    id, even if the total is larger.
    """
    rows, total = len(newest.ids), newest.total
    page_rows = rows if rows > 1 and (total is None or total > rows) else page_size
    below = max(min(total, newest.newest_id) - rows, 0) if total is not None else None
    end = below or 0
    through_id = newest.ids[0] if newest.ids else 0
    slices: list[Slice] = []
    offset = 0
    while not slices or offset < end:
        share = int((end - offset) / page_rows / (readers / 2))
        pages = max(1, min(MAX_PAGES_PER_SLICE, PAGES_OF_ALL // readers, share))
        step = pages * page_rows - 1 if dataset.keyset else pages * (page_rows - 1)
        number, records = NEWEST_SLICE + 1 + len(slices), _slice_records(step, below, offset)
        slices.append(Slice(dataset.name, number, offset, records, through_id))
        offset += step
    return Plan(dataset.name, total, newest.newest_id, page_rows, tuple(slices), newest.relations)


def _slice_records(step: int, below: int | None, offset: int) -> int:
    """Return the number of records in a slice, with the one it shares with the next slice."""
    if below is None:
        return NO_LIMIT
    return max(min(step, below - offset), 0) + 1
