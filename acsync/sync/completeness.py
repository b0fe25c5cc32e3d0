"""Publish only a walk that is proven complete."""

from collections.abc import Iterable
from dataclasses import dataclass

from acsync.errors import Incomplete
from acsync.models import Interval, Plan
from acsync.sync.gap_fill import find_gaps

REMEDY = "The last snapshot stays. If this stays for hours, compare with ActiveCampaign's own page."


@dataclass(frozen=True)
class Walked:
    """What a walk came to at its end.

    `newest_id` and `total` come from one response, given when everything else was read.
    `records` is how many distinct ids were read, `planned_records` how many of them are no newer
    than the plan.
    """

    newest_id: int
    total: int | None
    records: int
    planned_records: int


def require_complete(plan: Plan, covered: Iterable[Interval], walked: Walked) -> None:
    """Raise Incomplete unless the walk lost nothing and invented nothing.

    New records get new, higher ids. So everything that is there at the end must have been read,
    and no more of what the plan counted than it counted.
    """
    name = plan.dataset
    if not walked.newest_id and (plan.total or walked.records):
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
    if walked.total is not None and walked.records < walked.total:
        raise Incomplete(
            f"ActiveCampaign counts {walked.total:,} {name}, but {walked.records:,} were read.",
            REMEDY,
        )
    if plan.total is not None and walked.planned_records > plan.total:
        raise Incomplete(
            f"ActiveCampaign counted {plan.total:,} {name}, but {walked.planned_records:,} were "
            "read: a total that low cannot be right.",
            REMEDY,
        )
