"""Copy one slice: read its pages, enrich them, compare with the published records, stage them."""

import time
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace

from acsync.activecampaign.changes import date_of
from acsync.activecampaign.slices import NEWEST_SLICE
from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DATASETS, NOT_CONTENT, Record, RelationName, is_masked, parse_record
from acsync.enrich.content import has_same_content, has_same_relations
from acsync.enrich.encoding import encode, keep_last_body
from acsync.enrich.redaction import redact_forgotten
from acsync.enrich.relations import tag_names
from acsync.errors import SyncFailed
from acsync.readings import Copied, EnrichedRecord, Interval, Slice
from acsync.store.snapshot import (
    last_relations,
    published_contents,
    published_state,
    recent_dates,
)
from acsync.store.staged_plans import drop_plan_with
from acsync.store.staging import StagedSlice, stage_slice
from acsync.sync.context import SyncContext
from acsync.sync.forget import leave_out
from acsync.sync.job import Job

# Records whose bodies are compared at once. Parsed ones take ten times as much memory.
COMPARED = 100


def copy_slice(context: SyncContext, job: Job, part: Slice) -> Copied:
    """Copy the records of one slice into staging.

    Raises SyncFailed if another slice of the dataset has failed.
    """
    with context.readers.turn():
        if context.readers.is_cancelled(job.dataset):
            raise SyncFailed(f"Another slice of the {job.dataset} failed before this one was read.")
        context.progress.enter("copying")
        pages = job.open_walk().read_slice(part, job.plan.page_rows)
        return stage_pages(context, job, part.number, _release_read(pages))


def _release_read(pages: Iterable[WalkPage]) -> Iterator[WalkPage]:
    """Free the rows of each page before the next one is read; the walk still refers to them."""
    for page in pages:
        yield page
        page.release()


def stage_newest(context: SyncContext, job: Job, newest: WalkPage) -> Job:
    """Stage the page that the plan was made from, unless an earlier sync has staged it."""
    if NEWEST_SLICE in job.staged or not newest.ids:
        return job
    return replace(job, newest=stage_pages(context, job, NEWEST_SLICE, [newest]))


def stage_pages(context: SyncContext, job: Job, number: int, pages: Iterable[WalkPage]) -> Copied:
    """Enrich and stage neighbouring pages as one slice.

    If two pages contain the same record, the later page wins. Only new and changed records are
    staged with their bodies.
    """
    covered: Interval | None = None
    records: dict[int, EnrichedRecord | Record] = {}
    asked_at: dict[int, float] = {}
    tags: dict[str, str] = {}
    relations = {*job.relations}
    # Encoded page by page: the raw rows of dozens of slices at once would take 150 MB.
    for page in pages:
        covered = page.covered.join(covered)
        left_out = leave_out(context.database, context.sync, context.forgotten, job.dataset, page)
        records |= _encode_page(context, job, page, left_out)
        asked_at |= dict.fromkeys(page.ids, page.asked_at)
        tags |= tag_names(page.related.get("tags", ()))
        relations &= {*page.relations}
    if covered is None:
        return Copied()
    ids = list(records)
    masked_ids = [record_id for record_id in ids if isinstance(records[record_id], dict)]
    hashes, last_bodies = published_state(context.database, job.dataset, ids, masked_ids)
    encoded = [_encode_stub(records[key], last_bodies.get(key)) for key in ids]
    differing = [record for record in encoded if hashes.get(record.record_id) != record.hash]
    older = _find_older(context, job, differing)
    asked_at |= older
    changed = [record for record in differing if record.record_id not in older]
    known = [record for record in changed if record.record_id in hashes]
    refreshed = _find_refreshed(context, job, known)
    if missing := [name for name in job.relations if name not in relations]:
        # A sync to which the account sends them again would publish last known ones as current.
        drop_plan_with(context.database, context.sync, job.dataset, missing)
    # The ids of all records, also of those left out: they prove that none is missing.
    staged = StagedSlice(
        number, covered, list(asked_at), changed, list(asked_at.values()), refreshed
    )
    stage_slice(context.database, context.sync, job.dataset, staged)
    context.progress.advance(job.dataset, len(asked_at))
    return Copied(sum(record.cleaned for record in encoded), tags)


def _encode_page(
    context: SyncContext, job: Job, page: WalkPage, left_out: Container[int]
) -> dict[int, EnrichedRecord | Record]:
    """Return the other records of a page by id: encoded, or as rows if they are masked."""
    enriched = job.enricher.enrich(page.rows, page.values, page.related)
    if job.dataset == "deals":
        enriched = [
            redact_forgotten(record, row, context.forgotten)
            for record, row in zip(enriched, page.rows, strict=True)
        ]
    return {
        record_id: record if is_masked(record) else encode(record, relations)
        for record_id, record, relations in _add_relations(context, job, page, enriched)
        if record_id not in left_out
    }


def _encode_stub(record: EnrichedRecord | Record, last: Record | None) -> EnrichedRecord:
    """Encode a masked record with the body it had when it was last visible."""
    return encode(keep_last_body(record, last)) if isinstance(record, dict) else record


def _find_older(
    context: SyncContext, job: Job, changed: Sequence[EnrichedRecord]
) -> dict[int, float]:
    """Return the records that are dated before the published version, and when that was read.

    A replica that lags shows them after an incremental sync has published the newer ones. If the
    version was not read recently, the account has gone back, for example to a backup.
    """
    ids = [record.record_id for record in changed]
    recent = recent_dates(context.database, job.dataset, ids) if ids else {}
    now, older = time.monotonic(), dict[int, float]()
    for record in changed:
        if record.record_id in recent:
            published, age = recent[record.record_id]
            date = date_of(DATASETS[job.dataset], parse_record(record.body))
            if date and date < published:
                older[record.record_id] = now - age
    return older


def _find_refreshed(
    context: SyncContext, job: Job, changed: Sequence[EnrichedRecord]
) -> frozenset[int]:
    """Return the ids of published records whose content has not changed.

    The bodies are compared, not a stored hash of the content: another release can have another
    idea of content, and a sync without changes costs nothing.
    """
    refreshed, ignored = set[int](), NOT_CONTENT[job.dataset]
    for start in range(0, len(changed), COMPARED):
        batch = {record.record_id: record for record in changed[start : start + COMPARED]}
        published = published_contents(context.database, job.dataset, list(batch), ignored)
        refreshed.update(
            record_id
            for record_id, (last, relations) in published.items()
            if _has_same_content(job, batch[record_id], last, relations)
        )
    return frozenset(refreshed)


def _has_same_content(
    job: Job, record: EnrichedRecord, published: Record, published_relations: Record
) -> bool:
    rules = job.privacy.rules
    return has_same_content(
        job.dataset,
        rules.without_returning(parse_record(record.body)),
        rules.without_returning(published),
        ignores_date=rules.hides_changes,
    ) and has_same_relations(
        rules.relations_without_returning(parse_record(record.relations or b"{}")),
        rules.relations_without_returning(published_relations),
    )


def _add_relations(
    context: SyncContext, job: Job, page: WalkPage, records: list[Record]
) -> Iterator[tuple[int, Record, Record]]:
    """Yield each id, its record and its relations: the last known ones if none came."""
    relations = job.enricher.relations(page.related or {})
    missing = [name for name in job.relations if name not in page.relations]
    last = last_relations(context.database, context.sync, page.ids) if missing else {}
    for record_id, record in zip(page.ids, records, strict=True):
        known = last.get(record_id, {})
        yield (
            record_id,
            record | _pick(known, missing),
            relations.get(str(record_id), {}) | _pick(known.get("relations") or {}, missing),
        )


def _pick(last: Record, names: list[RelationName]) -> Record:
    return {name: last[name] for name in names if last.get(name) is not None}
