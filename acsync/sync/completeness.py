"""Decide whether a walk is complete: the ids are the proof, the total is a witness."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acsync.errors import Incomplete
from acsync.readings import Interval, Plan, Warnings
from acsync.spelling import spell_count
from acsync.sync.gap_fill import find_gaps

# A count may differ by this many records or this share of them: it can be cached, and counting and
# listing are two queries.
TOLERATED_RECORDS = 10
TOLERATED_SHARE = 0.001

# A larger difference is accepted as the account's way of counting after this many syncs.
SYNCS_TO_BELIEVE = 3


def count_tolerated(total: int | None) -> int:
    """Return by how many records a total may differ without a reason to doubt it."""
    return max(TOLERATED_RECORDS, round((total or 0) * TOLERATED_SHARE))


def has_lost_records(plan: Plan, total: int | None, newest_ids: Sequence[int]) -> bool:
    """Return whether a fresh newest page shows that many records were deleted since the plan.

    Records that were added since then hide deletions in the total, and the page shows them.
    """
    if total is None or plan.total is None:
        return False
    added = sum(record_id > plan.newest_id for record_id in newest_ids)
    return plan.total + added - total > count_tolerated(total)


@dataclass(frozen=True)
class Walked:
    """The counts of a walk at its end, to compare with its plan.

    `newest_id` and `total` come from one response, requested while the last slices were read or
    later. `records` counts the distinct ids that were read. `planned_records` of them are no newer
    than the plan; `newer_records` are newer than the plan and than that response, because they
    were added after it or deleted before it.
    """

    plan: Plan
    newest_id: int
    total: int | None
    records: int
    planned_records: int
    newer_records: int = 0

    @property
    def counted_records(self) -> int:
        """Return how many records were read that the total can include."""
        return self.records - self.newer_records

    @property
    def is_emptied(self) -> bool:
        """Return whether there were records at first and none at the end."""
        return not self.newest_id and bool(self.plan.newest_id or self.records)

    @property
    def difference(self) -> int:
        """Return how many more records ActiveCampaign counts than were read; negative for fewer.

        A record that was deleted after it was read is among those read, and the plan counted it
        too. So the surplus is only what exceeds both counts.
        """
        if self.total is None:
            return 0
        if self.total >= self.counted_records or self.plan.total is None:
            return max(self.total - self.counted_records, 0)
        planned_surplus = self.planned_records - self.plan.total
        return -max(min(self.counted_records - self.total, planned_surplus), 0)


def require_complete(covered: Iterable[Interval], walked: Walked) -> None:
    """Raise Incomplete unless every id up to the newest was covered.

    New records get higher ids. So every record that exists when the newest page is read at the end
    must have been read. Records added later are left to the next sync.
    """
    plan = walked.plan
    if walked.is_emptied:
        reason = (
            f"ActiveCampaign listed {plan.total or walked.records:,} {plan.dataset} first and none "
            "at the end; no account is emptied that fast."
        )
    elif gaps := find_gaps(covered, walked.newest_id):
        reason = (
            f"The {plan.dataset} between id {gaps[0].first} and {gaps[0].last} were not read "
            f"({spell_count(len(gaps), 'gap')})."
        )
    else:
        return
    raise Incomplete(
        reason,
        "The last snapshot stays. If this lasts for hours, compare with ActiveCampaign's own page.",
    )


def judge_total(walked: Walked, earlier: Sequence[int]) -> Warnings:
    """Return a warning if the total does not match; raise Incomplete if it differs too much.

    `earlier` are the differences of the last syncs, the newest first. A large difference is
    refused until it has stayed about the same for three syncs in a row.
    """
    _require_not_empty(walked)
    if not walked.difference:
        return ()
    counted = (
        f"ActiveCampaign counts {walked.total or 0:,} {walked.plan.dataset}, but "
        f"{walked.counted_records:,} were read."
    )
    is_large = abs(walked.difference) > count_tolerated(walked.total)
    if is_large and not _is_lasting(walked, earlier):
        raise Incomplete(
            counted,
            "The last snapshot stays. If the difference stays the same for three syncs in a row, "
            "the third publishes what it read, with a warning.",
        )
    return (f"{counted} The ids leave no gap, so all that were read are published",)


def _require_not_empty(walked: Walked) -> None:
    """Raise Incomplete if a total counts records and none came, however often this happens.

    A healthy account that counts records also lists some: even those that the key's user cannot
    see come as stubs.
    """
    name = walked.plan.dataset
    counted = max(walked.plan.total or 0, walked.total or 0)
    if counted and not walked.records:
        raise Incomplete(
            f"ActiveCampaign counts {counted:,} {name}, but none were read.",
            "The last snapshot stays. Check what the user of AC_API_KEY may see, or leave the "
            f"{name} out of ACSYNC_DATASETS.",
        )


def _is_lasting(walked: Walked, earlier: Sequence[int]) -> bool:
    """Return whether the difference has stayed about the same for three syncs in a row."""
    in_a_row = (walked.difference, *earlier)[:SYNCS_TO_BELIEVE]
    is_steady = max(in_a_row) - min(in_a_row) <= count_tolerated(walked.total)
    return len(in_a_row) == SYNCS_TO_BELIEVE and is_steady
