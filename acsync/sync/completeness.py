"""Publish only a walk that is proven complete: the ids are the proof, a total is a witness."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acsync.errors import Incomplete
from acsync.models import Interval, Plan, Warnings
from acsync.sync.gap_fill import find_gaps

REMEDY = "The last snapshot stays. If this stays for hours, compare with ActiveCampaign's own page."

# What a count and rows that are two queries, or a count that is cached, may differ by: so many
# records, or this share of them.
TOLERATED_RECORDS = 10
TOLERATED_SHARE = 0.001

# A larger difference that stays for so many syncs is the account's way of counting.
SYNCS_TO_BELIEVE = 3


def count_tolerated(total: int) -> int:
    """Return by how many records a total may differ without a reason to doubt it."""
    return max(TOLERATED_RECORDS, round(total * TOLERATED_SHARE))


@dataclass(frozen=True)
class Walked:
    """What a walk came to at its end.

    `newest_id` and `total` come from one response, asked for while the last slices were read, or
    later. `records` is how many distinct ids were read, `planned_records` how many of them are
    no newer than the plan, `newer_records` how many are newer than both: that response came before
    they were added, or after they were deleted.
    """

    newest_id: int
    total: int | None
    records: int
    planned_records: int
    newer_records: int = 0

    @property
    def counted_records(self) -> int:
        """Return how many were read of those that the total may count."""
        return self.records - self.newer_records


def has_shrunk(plan: Plan, total: int | None) -> bool:
    """Return whether a fresh total shows that records were deleted since the plan was made."""
    if total is None or plan.total is None:
        return False
    return plan.total - total > count_tolerated(total)


def require_complete(plan: Plan, covered: Iterable[Interval], walked: Walked) -> None:
    """Raise Incomplete unless every id up to the newest was covered.

    New records get new, higher ids. So everything that is there when the newest page is read, at
    the end, must have been read; what is added later is left to the next sync.
    """
    name = plan.dataset
    if is_emptied(plan, walked):
        raise Incomplete(
            f"ActiveCampaign listed {plan.total or walked.records:,} {name} first and none at the "
            "end; no account is emptied that fast.",
            REMEDY,
        )
    if gaps := find_gaps(covered, walked.newest_id):
        raise Incomplete(
            f"The {name} between id {gaps[0].first} and {gaps[0].last} were not read "
            f"({len(gaps)} gaps).",
            REMEDY,
        )


def is_emptied(plan: Plan, walked: Walked) -> bool:
    """Return whether there were records first, and none at the end."""
    return not walked.newest_id and bool(plan.newest_id or walked.records)


def count_difference(plan: Plan, walked: Walked) -> int:
    """Return how many more records ActiveCampaign counts than were read; negative for fewer.

    A record that was deleted after it was read is among those read. The plan counted it too: so
    there are too many only as far as there are more than in both counts.
    """
    if walked.total is None:
        return 0
    if walked.total >= walked.counted_records or plan.total is None:
        return max(walked.total - walked.counted_records, 0)
    surplus = min(walked.counted_records - walked.total, walked.planned_records - plan.total)
    return -max(surplus, 0)


def judge_total(plan: Plan, walked: Walked, earlier: Sequence[int]) -> Warnings:
    """Return warnings about a total that does not match; raise Incomplete if it must.

    `earlier` are the differences of the syncs before, the newest first. A large difference is
    refused until it has stayed about the same for three syncs in a row.
    """
    require_not_empty(plan, walked)
    difference = count_difference(plan, walked)
    counted = (
        f"ActiveCampaign counts {walked.total or 0:,} {plan.dataset}, but "
        f"{walked.counted_records:,} were read."
    )
    if not difference:
        return ()
    if abs(difference) > count_tolerated(walked.total or 0) and not is_lasting(
        walked, difference, earlier
    ):
        raise Incomplete(
            counted,
            "The last snapshot stays. If the difference stays the same for three syncs in a row, "
            "the third publishes what it read, with a warning.",
        )
    return (f"{counted} The ids leave no gap, so all that were read are published",)


def require_not_empty(plan: Plan, walked: Walked) -> None:
    """Raise Incomplete if no record came although a total counts some, however often that is.

    Records that the key's user may not see still come, as stubs: so a healthy account that counts
    records lists some.
    """
    counted = max(plan.total or 0, walked.total or 0)
    if counted and not walked.records:
        raise Incomplete(
            f"ActiveCampaign counts {counted:,} {plan.dataset}, but none were read.",
            "The last snapshot stays. Check what the user of AC_API_KEY may see, or leave the "
            f"{plan.dataset} out of ACSYNC_DATASETS.",
        )


def is_lasting(walked: Walked, difference: int, earlier: Sequence[int]) -> bool:
    """Return whether the difference has stayed about the same for three syncs in a row."""
    in_a_row = (difference, *earlier)[:SYNCS_TO_BELIEVE]
    is_steady = max(in_a_row) - min(in_a_row) <= count_tolerated(walked.total or 0)
    return len(in_a_row) == SYNCS_TO_BELIEVE and is_steady
