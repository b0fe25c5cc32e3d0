"""Request published records that no page contained, before they are treated as deleted.

A page can leave out existing records: the total then counts more records than were read, newer
records came before, or a replica lags and lacks the newest ones. Closing their versions would
publish deletions that never happened.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DatasetName, Record, is_masked
from acsync.enrich.encoding import ENRICHED_KEYS
from acsync.errors import AccountError, Incomplete
from acsync.readings import Copied, Interval, Warnings
from acsync.store.losses import read_vanished
from acsync.store.snapshot import published_records
from acsync.store.staging import stage_unproven
from acsync.store.sync_history import read_differences
from acsync.sync.completeness import Walked, count_tolerated
from acsync.sync.context import SyncContext
from acsync.sync.gap_fill import GapFill
from acsync.sync.job import Job

LAST_ID = 2**63 - 1


@dataclass(frozen=True)
class Asked:
    """The outcome for published records that no page contained.

    `alive` exist and were staged, as `copied`. `not_asked` counts the records above the limit, and
    `unknown` holds the error of each call that failed.
    """

    alive: Sequence[int] = ()
    copied: Copied = field(default_factory=Copied)
    not_asked: int = 0
    unknown: Mapping[int, str] | None = None


def keep_unproven(context: SyncContext, job: Job, gap_fill: GapFill) -> int:
    """Keep the newest records if only incremental syncs have read them; return their number.

    A replica that lags neither shows nor counts them, and can deny them one by one. The next full
    sync decides.
    """
    number, last_id = gap_fill.next_number(), gap_fill.last_id()
    if not last_id:
        return 0
    return stage_unproven(context.database, context.sync, job.dataset, number, last_id)


def ask_for_hidden(context: SyncContext, job: Job, gap_fill: GapFill, walked: Walked) -> Asked:
    """Request each published record that no page contained, and stage those that exist.

    If the total matches, only those in gaps and above all that was read are requested. The limit
    is the tolerated difference of the total. Raises Incomplete

    - if ActiveCampaign does not say whether a record exists, unless it is above all that was read,
      the difference is no larger than in the last two syncs or the loss is accepted;
    - if more records than the limit are suspect and some of them exist: a replica lags, and the
      next sync will find them.
    """
    last_id = gap_fill.last_id()
    suspects, newest_ids = _find_suspects(context, job, gap_fill, walked)
    alive: dict[int, Copied] = {}
    unknown: dict[int, str] = {}
    for record_id in newest_ids:
        try:
            if page := _request(context, job, gap_fill, record_id):
                alive[record_id] = gap_fill.stage_next([page])
        except AccountError as error:
            unknown[record_id] = error.message
            # A deleted record can be refused by each later sync too.
            if record_id <= last_id and not _may_go_on(context, walked):
                raise _incomplete(job.dataset, record_id, error) from None
    asked = Asked([*alive], sum(alive.values(), Copied()), suspects - len(newest_ids), unknown)
    if alive and asked.not_asked and walked.difference <= 0:
        raise _lagging(job.dataset, asked)
    return asked


def _find_suspects(
    context: SyncContext, job: Job, gap_fill: GapFill, walked: Walked
) -> tuple[int, Sequence[int]]:
    """Count the published records that may be hidden, and return the newest of their ids."""
    if not walked.records:
        return 0, ()
    above = Interval(gap_fill.last_id() + 1, LAST_ID)
    within = [*gap_fill.find_open(), above]
    if walked.difference > 0:
        within = [Interval(1, LAST_ID)]
    database, sync = context.database, context.sync
    return read_vanished(database, sync, job.dataset, within, count_tolerated(walked.total))


def _request(context: SyncContext, job: Job, gap_fill: GapFill, record_id: int) -> WalkPage | None:
    """Request one record; return it as a page that covers its id, or None if it is deleted."""
    page = gap_fill.walk.read_single(record_id)
    if page is None:
        return None
    published = published_records(context.database, job.dataset, [record_id])
    rows = [as_listed(row, published.get(record_id, row)) for row in page.rows]
    return replace(page, rows=rows)


def as_listed(row: Record, published: Record, listed: Collection[str] = ()) -> Record:
    """Return a row that was requested alone with the keys that it has on a page.

    A single contact has `contactAutomations`, `deals` and `geoIps`, and lacks `scoreValues`
    (recorded). If it were published like that, it would look changed now and at the next sync.
    `listed` are keys that it has on a page even if the published record lacks them.
    """
    if is_masked(row) or is_masked(published):
        return row
    own = {key: value for key, value in row.items() if key in published or key in listed}
    added = (*ENRICHED_KEYS, "tags", "lists")
    return {key: value for key, value in published.items() if key not in added} | own


def _may_go_on(context: SyncContext, walked: Walked) -> bool:
    """Return whether a record may be treated as deleted although its call failed.

    If the total of the last two syncs differed at least as much, the account counts that way, and
    the difference is no sign of hidden records.
    """
    if context.accept_shrink:
        return True
    earlier = read_differences(context.database, context.sync, walked.plan.dataset)[:2]
    return len(earlier) == 2 and 0 < walked.difference <= min(earlier)


def _incomplete(name: DatasetName, record_id: int, error: AccountError) -> Incomplete:
    return Incomplete(
        f"No page contained record {record_id} of the {name}, and the call for it alone does not "
        f"tell whether it exists: {error.message}",
        "The last snapshot stays. The next sync asks again. To treat such records as deleted, run: "
        f"acsync sync --only {name} --accept-shrink",
    )


def _lagging(name: DatasetName, asked: Asked) -> Incomplete:
    return Incomplete(
        f"{len(asked.alive):,} of the newest {name} only came when asked for singly, and "
        f"{asked.not_asked:,} more did not come: the pages lag.",
        "The last snapshot stays. The next sync reads the newest records again.",
    )


def add_alive(walked: Walked, asked: Asked) -> Walked:
    """Return the counts of a walk with the records that were requested one by one."""
    planned = sum(record_id <= walked.plan.newest_id for record_id in asked.alive)
    return replace(
        walked,
        records=walked.records + len(asked.alive),
        planned_records=walked.planned_records + planned,
    )


def warn_of_hidden(
    name: DatasetName, gaps: Sequence[Interval], asked: Asked, unproven: int
) -> Warnings:
    """Return one sentence for each outcome of records that no page contained."""
    warnings = []
    if unproven:
        warnings.append(
            f"{unproven:,} {name} that an incremental sync has just published did not come; they "
            "stay until the next full sync"
        )
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
    if asked.unknown:
        reason = next(iter(asked.unknown.values()))
        warnings.append(
            f"{len(asked.unknown):,} published {name} did not come, and asking for them singly "
            f"does not tell whether they exist: they are taken for deleted ({reason})"
        )
    return tuple(warnings)
