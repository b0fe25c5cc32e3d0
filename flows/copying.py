"""Copy one slice: read its pages in pace, enrich them, compare with what is published, stage.

Pages are enriched as they arrive and kept only as JSON, so that memory stays flat; what a
task returns is counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from acsync.activecampaign.planning import (
    NEWEST_SLICE,
    Interval,
    Plan,
    Slice,
    WalkPage,
    plan_slices,
)
from acsync.enrich import EnrichedRecord, encode, is_masked, keep_last_body
from acsync.errors import SyncFailed
from acsync.models import DATASETS, DatasetName, Record
from acsync.store.staging import (
    StagedCounts,
    StagedRecord,
    StagedSlice,
    count_staged,
    published_hashes,
    published_records,
    read_coverage,
    stage_slice,
)
from acsync.store.sync_log import record_plan
from acsync.sync.completeness import Walked, require_complete
from acsync.sync.gap_fill import close_gaps
from flows.judging import require_no_loss
from flows.session import SyncSession


@dataclass(frozen=True)
class SliceCounts:
    """What one slice came to: records read, and those among them that differ."""

    records: int
    changed: int


def plan_dataset(session: SyncSession, name: DatasetName) -> Plan:
    """Read the newest page, which tells how much there is, and cut the rest into slices."""
    newest = session.walk(name).read_newest()
    if newest.ids:
        copy_pieces(session, name, NEWEST_SLICE, [newest])
    plan = plan_slices(DATASETS[name], newest, session.settings.page_size)
    record_plan(session.database, session.sync, name, plan.total or 0)
    return plan


def copy_slice(session: SyncSession, wanted: Slice) -> SliceCounts:
    """Copy the records of one slice into staging; not for a dataset that failed already."""
    if wanted.dataset not in session.healthy:
        raise SyncFailed(session.failures[wanted.dataset])
    pages = session.walk(wanted.dataset).read_slice(wanted)
    return copy_pieces(session, wanted.dataset, wanted.number, pages)


def copy_pieces(
    session: SyncSession, name: DatasetName, number: int, pages: Iterable[WalkPage]
) -> SliceCounts:
    """Enrich and stage pages of a walk that together leave no gap."""
    enricher = session.enricher(name)
    read: dict[int, EnrichedRecord] = {}
    masked: dict[int, Record] = {}
    covered: Interval | None = None
    for page in pages:
        covered = _join(covered, page.covered)
        for record in enricher.enrich(page.rows, page.values):
            encoded = encode(record)
            read[encoded.record_id] = encoded
            masked.pop(encoded.record_id, None)
            if is_masked(record):
                masked[encoded.record_id] = record
    if covered is None:
        return SliceCounts(0, 0)
    read.update(_with_last_bodies(session, name, masked))
    changed = _changed(session, name, read)
    staged = StagedSlice(number, covered.first, covered.last, list(read), changed, list(masked))
    stage_slice(session.database, session.sync, name, staged)
    session.add_cleaned(sum(encoded.cleaned for encoded in read.values()))
    return SliceCounts(len(read), len(changed))


def _join(covered: Interval | None, next_covered: Interval) -> Interval:
    if covered is None:
        return next_covered
    return Interval(min(covered.first, next_covered.first), max(covered.last, next_covered.last))


def _with_last_bodies(
    session: SyncSession, name: DatasetName, masked: dict[int, Record]
) -> dict[int, EnrichedRecord]:
    last = published_records(session.database, name, list(masked)) if masked else {}
    return {
        record_id: encode(keep_last_body(stub, last.get(record_id)))
        for record_id, stub in masked.items()
    }


def _changed(
    session: SyncSession, name: DatasetName, read: dict[int, EnrichedRecord]
) -> list[StagedRecord]:
    published = published_hashes(session.database, name, list(read))
    return [
        StagedRecord(record_id, encoded.hash, encoded.body)
        for record_id, encoded in read.items()
        if published.get(record_id) != encoded.hash
    ]


def close_dataset(session: SyncSession, plan: Plan) -> StagedCounts:
    """Read what appeared since the plan and what moved past the reader, then let the gate judge.

    Raises Incomplete or ShrinkRefused where the dataset must not be published.
    """
    name = plan.dataset
    newest = close_gaps(
        session.walk(name),
        plan,
        covered=lambda: read_covered(session, name),
        keep=lambda number, pages: copy_pieces(session, name, number, pages),
    )
    counts = count_staged(session.database, session.sync, name, plan.newest_id)
    walked = Walked(newest.newest_id, newest.total, counts.records, counts.planned_records)
    require_complete(plan, read_covered(session, name).values(), walked)
    require_no_loss(session, name, counts)
    return counts


def read_covered(session: SyncSession, name: DatasetName) -> dict[int, Interval]:
    """Give the ids that each staged slice covers, by its number."""
    return {
        covered.slice_no: Interval(covered.covered_from, covered.covered_through)
        for covered in read_coverage(session.database, session.sync, name)
    }
