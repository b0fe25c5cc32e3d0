"""Let only a walk pass that is proven complete."""

from collections.abc import Iterable
from dataclasses import dataclass

from acsync.activecampaign.planning import Interval, Plan, find_gaps
from acsync.errors import Incomplete


@dataclass(frozen=True)
class Walked:
    """What a walk came to at its end.

    `newest_id` and `total` come from one answer, given when everything else was read.
    `records` is how many distinct ids were read, `planned_records` how many of them are no
    newer than the plan.
    """

    newest_id: int
    total: int | None
    records: int
    planned_records: int


def require_complete(plan: Plan, covered: Iterable[Interval], walked: Walked) -> None:
    """Raise Incomplete unless the walk lost nothing and invented nothing.

    New records get new, higher ids: so everything that is there at the end must have been
    read, and no more of what the plan counted than it counted.
    """
    if not walked.newest_id and (plan.total or walked.records):
        raise Incomplete(
            f"ActiveCampaign listed {plan.total or walked.records:,} {plan.dataset} before, and "
            "none at the end. No account is emptied that fast; the last snapshot stays."
        )
    if gaps := find_gaps(covered, walked.newest_id):
        raise Incomplete(
            f"The {plan.dataset} between id {gaps[0].first} and {gaps[0].last} were not read "
            f"({len(gaps)} gaps). The last snapshot stays; the next sync reads them again."
        )
    if walked.total is not None and walked.records < walked.total:
        raise Incomplete(
            f"ActiveCampaign counts {walked.total:,} {plan.dataset}, {walked.records:,} were "
            "read. The last snapshot stays; the next sync reads them again."
        )
    if plan.total is not None and walked.planned_records > plan.total:
        raise Incomplete(
            f"ActiveCampaign counted {plan.total:,} {plan.dataset}, {walked.planned_records:,} "
            "were read. A total that low cannot be trusted; the last snapshot stays."
        )
