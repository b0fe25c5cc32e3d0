"""Ask singly for published records that no page showed, before they are taken for deleted.

A page can leave out records that exist: the total then counts more than was read, or newer records
had come before. Closing their versions would publish deletions that never happened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from acsync.datasets import DatasetName, Record, is_masked
from acsync.enrich.encoding import ENRICHED_KEYS
from acsync.errors import AccountError, Incomplete
from acsync.models import Interval, Plan, Warnings
from acsync.store.losses import Vanished, read_vanished
from acsync.store.snapshot import published_records
from acsync.store.sync_log import read_differences
from acsync.sync.completeness import Walked, count_difference, count_tolerated
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import Job
from acsync.sync.gap_fill import GapFill

ALL_IDS = Interval(1, 2**63 - 1)


@dataclass(frozen=True)
class Asked:
    """What became of published records that no page showed.

    `alive` are staged now, `not_asked` are more than may be asked for, and `untold` has the error
    of each record of which nobody knows whether it exists.
    """

    alive: Sequence[int] = ()
    not_asked: int = 0
    untold: Mapping[int, str] | None = None


def ask_for_hidden(context: SyncContext, job: Job, gap_fill: GapFill, walked: Walked) -> Asked:
    """Ask singly for published records that did not come, and stage those that exist.

    Does nothing if the total matches and no gap is left: then they were deleted. At most as many
    are asked for as the total may differ by. Raises Incomplete if ActiveCampaign does not say
    whether a record exists, unless the difference is no larger than in the two syncs before, or a
    person accepts the loss; and if a gap holds more records than may be asked for, some of them
    alive: that is a replica that lags, and the next sync has no such gap.
    """
    suspects = _find_suspects(context, job, gap_fill, walked)
    alive: list[int] = []
    untold: dict[int, str] = {}
    for record_id in suspects.newest_ids:
        try:
            if _stage_if_alive(context, job, gap_fill, record_id):
                alive.append(record_id)
        except AccountError as error:
            untold[record_id] = error.message
            if not _may_go_on(context, job, walked):
                raise _incomplete(job.dataset, record_id, error) from None
    asked = Asked(alive, suspects.records - len(suspects.newest_ids), untold)
    if alive and asked.not_asked and count_difference(job.plan, walked) <= 0:
        raise _lagging(job.dataset, asked)
    return asked


def _find_suspects(context: SyncContext, job: Job, gap_fill: GapFill, walked: Walked) -> Vanished:
    within = [ALL_IDS] if count_difference(job.plan, walked) > 0 else gap_fill.find_open()
    if not within or not walked.records:
        return Vanished(0, ())
    database, sync = context.database, context.sync
    return read_vanished(database, sync, job.dataset, within, count_tolerated(walked.total or 0))


def _stage_if_alive(context: SyncContext, job: Job, gap_fill: GapFill, record_id: int) -> bool:
    """Ask for one record and stage it as a slice that covers its id; return whether it exists."""
    page = gap_fill.walk.read_single(record_id)
    if page is None:
        return False
    published = published_records(context.database, job.dataset, [record_id])
    rows = [as_listed(row, published.get(record_id, row)) for row in page.rows]
    gap_fill.stage_next([replace(page, rows=rows)])
    return True


def as_listed(row: Record, published: Record) -> Record:
    """Return a row that was asked for singly with the keys that it has on a page.

    A single contact has `contactAutomations`, `deals` and `geoIps` and lacks `scoreValues`
    (recorded): published like that, it would look changed now and again at the next sync.
    """
    if is_masked(row) or is_masked(published):
        return row
    own = {key: value for key, value in row.items() if key in published}
    added = (*ENRICHED_KEYS, "tags", "lists")
    return {key: value for key, value in published.items() if key not in added} | own


def _may_go_on(context: SyncContext, job: Job, walked: Walked) -> bool:
    """Return whether a record of which nothing is known may be taken for deleted.

    If the total contradicted the two syncs before by as much, that is the account's way of
    counting and no sign of hidden records: an account whose single calls never answer goes on.
    """
    if context.accept_shrink:
        return True
    earlier = read_differences(context.database, context.sync, job.dataset)[:2]
    return len(earlier) == 2 and 0 < count_difference(job.plan, walked) <= min(earlier)


def _incomplete(name: DatasetName, record_id: int, error: AccountError) -> Incomplete:
    return Incomplete(
        f"No page showed record {record_id} of the {name}, and asking for it alone does not tell "
        f"whether it exists: {error.message}",
        "The last snapshot stays. The next sync asks again. To take such records for deleted, run: "
        f"acsync sync --only {name} --accept-shrink",
    )


def _lagging(name: DatasetName, asked: Asked) -> Incomplete:
    return Incomplete(
        f"{len(asked.alive):,} of the newest {name} came only when asked for singly, and "
        f"{asked.not_asked:,} more did not come: the pages lag.",
        "The last snapshot stays. The next sync reads the newest records again.",
    )


def add_alive(plan: Plan, walked: Walked, asked: Asked) -> Walked:
    """Return the counts of a walk with the records that were asked for singly."""
    planned = sum(record_id <= plan.newest_id for record_id in asked.alive)
    return replace(
        walked,
        records=walked.records + len(asked.alive),
        planned_records=walked.planned_records + planned,
    )


def warn_of_hidden(name: DatasetName, gaps: Sequence[Interval], asked: Asked) -> Warnings:
    """Return what became of records that no page showed, a sentence each."""
    warnings = []
    if asked.alive:
        warnings.append(
            f"{len(asked.alive):,} {name} were missing from the pages and came when asked for "
            "singly; they are published"
        )
    if gaps:
        warnings.append(
            f"no {name} came from id {gaps[0].first} to {gaps[-1].last}, though newer ones had "
            "come before: those that no single call finds are taken for deleted"
        )
    if asked.not_asked:
        warnings.append(
            f"{asked.not_asked:,} more published {name} did not come and were not asked for: they "
            "are taken for deleted"
        )
    if asked.untold:
        reason = next(iter(asked.untold.values()))
        warnings.append(
            f"{len(asked.untold):,} published {name} did not come, and asking for them singly does "
            f"not tell whether they exist: they are taken for deleted ({reason})"
        )
    return tuple(warnings)
