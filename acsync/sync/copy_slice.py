"""Copy one slice: read its pages, enrich them, compare with what is published, stage them."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from acsync.activecampaign.pagination import WalkPage, join_pages
from acsync.enrich import encode, enrich, keep_last_body
from acsync.errors import SyncFailed
from acsync.models import (
    DATASETS,
    DatasetName,
    EnrichedRecord,
    Metadata,
    Plan,
    Record,
    Slice,
    Warnings,
    is_masked,
)
from acsync.store.snapshot import published_hashes, published_records
from acsync.store.staging import StagedSlice, stage_slice
from acsync.sync.context import SyncContext


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
    pages = context.walk(job.dataset).read_slice(wanted)
    return stage_pages(context, job.dataset, job.metadata, wanted.number, pages)


def stage_pages(
    context: SyncContext,
    name: DatasetName,
    metadata: Metadata,
    number: int,
    pages: Iterable[WalkPage],
) -> SliceCounts:
    """Enrich and stage neighbouring pages as the slice of that number.

    Only new and changed records are staged with their bodies.
    """
    page = join_pages(pages, DATASETS[name])
    if page is None:
        return SliceCounts()
    records = _with_last_bodies(context, name, enrich(name, page.rows, page.values, metadata))
    masked_ids = [int(record["id"]) for record in records if is_masked(record)]
    encoded = _encode_all(records)
    published = published_hashes(context.database, name, page.ids)
    changed = [one for one in encoded if published.get(one.record_id) != one.hash]
    staged = StagedSlice(number, page.covered, page.ids, changed, masked_ids)
    stage_slice(context.database, context.sync, name, staged)
    return SliceCounts(len(encoded), len(changed), sum(one.cleaned for one in encoded))


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


def _encode_all(records: list[Record]) -> list[EnrichedRecord]:
    """Encode the records and let go of each, so that no slice is in memory twice."""
    encoded = []
    records.reverse()
    while records:
        encoded.append(encode(records.pop()))
    return encoded
