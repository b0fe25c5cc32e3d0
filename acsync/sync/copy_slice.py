"""Copy one slice: read its pages, enrich them, compare with what is published, stage them."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DatasetName, Metadata, Record, RelationName, is_masked
from acsync.enrich.encoding import encode, keep_last_body
from acsync.errors import SyncFailed
from acsync.models import EnrichedRecord, Interval, Plan, Slice, Warnings
from acsync.store.snapshot import last_relations, published_hashes, published_records
from acsync.store.staging import StagedSlice, stage_slice
from acsync.sync.context import SyncContext

if TYPE_CHECKING:
    from acsync.enrich.enricher import Enricher


@dataclass(frozen=True)
class Job:
    """One dataset to copy: its plan, what explains its records, and which slices are staged.

    `cancelled` is set once a slice has failed for good: the others then need not be read.
    """

    plan: Plan
    metadata: Metadata
    staged: frozenset[int] = frozenset()
    cleaned: int = 0
    warnings: Warnings = ()
    started: float = field(default_factory=time.monotonic)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def dataset(self) -> DatasetName:
        """Return the dataset's name."""
        return self.plan.dataset

    @cached_property
    def enricher(self) -> "Enricher":
        """Return what joins the records to the metadata."""
        # Imports pandas, for which the first calls need not wait.
        from acsync.enrich.enricher import Enricher  # noqa: PLC0415

        return Enricher(self.dataset, self.metadata)

    @property
    def slices(self) -> list[Slice]:
        """Return the slices still to copy."""
        return [one for one in self.plan.slices if one.number not in self.staged]


@dataclass(frozen=True)
class SliceCounts:
    """What one slice came to: records read, those that differ from what is published, and
    characters removed because Postgres cannot hold them."""

    records: int = 0
    changed: int = 0
    cleaned: int = 0


def copy_slice(context: SyncContext, job: Job, wanted: Slice) -> SliceCounts:
    """Copy the records of one slice into staging; raise SyncFailed for a cancelled job."""
    if job.cancelled.is_set():
        raise SyncFailed(f"Another slice of the {job.dataset} failed before this one was read.")
    context.progress.enter("copying")
    pages = context.walk(job.dataset, job.plan.relations).read_slice(wanted, job.plan.page_rows)
    return stage_pages(context, job, wanted.number, _release_read(pages))


def _release_read(pages: Iterable[WalkPage]) -> Iterator[WalkPage]:
    """Let go of each page's rows when the next one is asked for: the walk holds on to it."""
    for page in pages:
        yield page
        page.release()


def stage_pages(
    context: SyncContext, job: Job, number: int, pages: Iterable[WalkPage]
) -> SliceCounts:
    """Enrich and stage neighbouring pages as the slice of that number.

    If pages share a record, the later page wins. Only new and changed records are staged with
    their bodies.
    """
    name = job.dataset
    read: dict[int, EnrichedRecord] = {}
    asked_at: dict[int, float] = {}
    covered: Interval | None = None
    # Page by page: the raw rows of twelve slices at once would be 150 MB.
    for page in pages:
        covered = page.covered.join(covered)
        for encoded in _encode_page(context, job, page):
            read[encoded.record_id] = encoded
            asked_at[encoded.record_id] = page.asked_at
    if covered is None:
        return SliceCounts()
    published = published_hashes(context.database, name, list(read))
    changed = [one for one in read.values() if published.get(one.record_id) != one.hash]
    times = [asked_at[record_id] for record_id in read]
    staged = StagedSlice(number, covered, list(read), changed, times)
    stage_slice(context.database, context.sync, name, staged)
    context.progress.advance(name, len(read))
    return SliceCounts(len(read), len(changed), sum(one.cleaned for one in read.values()))


def _encode_page(context: SyncContext, job: Job, page: WalkPage) -> list[EnrichedRecord]:
    """Return the records as they are stored."""
    enriched = job.enricher.enrich(page.rows, page.values, page.related)
    known = _with_last_known(context, job, page.relations, enriched)
    return [encode(record) for record in known]


def _with_last_known(
    context: SyncContext, job: Job, relations: Sequence[RelationName], records: list[Record]
) -> list[Record]:
    """Keep what the account does not show now: bodies of masked deals, relations of contacts.

    `relations` came with the records.
    """
    records = _with_last_bodies(context, job.dataset, records)
    missing = [name for name in context.settings.relations(job.dataset) if name not in relations]
    if not missing:
        return records
    ids = [int(record["id"]) for record in records]
    last = last_relations(context.database, context.sync, ids)
    return [{**record, **_pick(last.get(int(record["id"]), {}), missing)} for record in records]


def warn_of_left_out(context: SyncContext, job: Job) -> Warnings:
    """Warn of the relations that did not come with all records: which, why, and what to set."""
    reasons = context.optional_relations[job.dataset].reasons
    asked = context.settings.relations(job.dataset)
    left_out = [name for name in asked if name in reasons or name not in job.plan.relations]
    if not left_out:
        return ()
    rest = ",".join(name for name in asked if name not in left_out)
    remedy = f"set ACSYNC_SIDELOADS={rest}" if rest else "leave ACSYNC_SIDELOADS empty"
    return (
        f"ActiveCampaign does not send {' and '.join(left_out)} along with the {job.dataset}: they "
        f"stay as they were last known. {' '.join(dict.fromkeys(reasons.values()))} If this lasts, "
        f"{remedy}",
    )


def _pick(last: Record, names: list[RelationName]) -> Record:
    return {name: last[name] for name in names if last.get(name) is not None}


def _with_last_bodies(
    context: SyncContext, name: DatasetName, records: list[Record]
) -> list[Record]:
    """Lay each masked record over the body it had when it could last be seen."""
    masked_ids = [int(record["id"]) for record in records if is_masked(record)]
    if not masked_ids:
        return records
    last = published_records(context.database, name, masked_ids)
    return [
        keep_last_body(record, last.get(int(record["id"]))) if is_masked(record) else record
        for record in records
    ]
