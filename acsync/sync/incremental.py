"""Read what changed since the last published sync, a few pages instead of the whole account.

An incremental sync publishes what it read. It never concludes that a record is gone, and each full
sync counts what it missed.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

from acsync.activecampaign.changes import (
    NEWEST_FIRST,
    changed_after,
    date_of,
    probe_filter,
    read_after_id,
    read_changed,
    read_newest_first,
)
from acsync.activecampaign.page import Page
from acsync.activecampaign.slices import MAX_PAGES_PER_SLICE
from acsync.activecampaign.walk import WalkPage, make_page
from acsync.datasets import DATASETS, DatasetName, Record
from acsync.enrich.encoding import Cleaner
from acsync.errors import NoFullSync, NotByDate, SyncFailed
from acsync.readings import Copied, Dimension, Interval, Plan, Warnings
from acsync.results import CustomField
from acsync.store.incremental_state import DateFilter, Learned, Start, read_dates, read_start
from acsync.store.losses import leave_out_emptied
from acsync.store.privacy import read_returning
from acsync.store.sync_history import read_last_full
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import stage_pages
from acsync.sync.job import Job, make_enricher
from acsync.sync.known_names import KnownNames
from acsync.sync.privacy import open_privacy

logger = logging.getLogger(__name__)

# Changes are read again for this long: a replica can lag, and no clock is exact.
OVERLAP = timedelta(minutes=2)

# The newest records are read in pages of this size: few are new.
NEW_ROWS = 20

WAITING = "A privacy rule was removed, and the next full sync reads the values again."

# Pages that are read by date prove nothing about the ids between their records.
NOTHING_COVERED = Interval(1, 0)


@dataclass(frozen=True)
class Changed:
    """The staged changes of a dataset; only `read_changes` makes one.

    `records` are published already. If the account does not answer by date, `learned` has the
    reason, and nothing was read. `slices` are staged. `fields` are known if the custom fields were
    read again.
    """

    dataset: DatasetName
    records: int
    learned: Learned
    duration_ms: int
    slices: int = 0
    cleaned: int = 0
    warnings: Warnings = ()
    fields: tuple[CustomField, ...] | None = None
    dimensions: tuple[Dimension, ...] = ()


def require_starts(context: SyncContext) -> Mapping[DatasetName, Start]:
    """Return what each published dataset starts from; raise NoFullSync if none is published."""
    starts = {name: read_start(context.database, name) for name in context.datasets}
    known = {name: start for name, start in starts.items() if start}
    if not known:
        raise NoFullSync(
            "No full sync has been published yet, so an incremental one has nothing to start from.",
            "Run: acsync sync",
        )
    returning = read_returning(context.database) & known.keys()
    return known | {name: _waiting(known[name]) for name in returning}


def _waiting(start: Start) -> Start:
    """After a privacy rule was removed, the copy lacks values until a full sync has read them."""
    return replace(start, learned=replace(start.learned, reason=WAITING))


def read_changes(context: SyncContext, name: DatasetName, start: Start) -> Changed:
    """Read and stage what changed in a dataset since its last published sync."""
    began, learned = time.monotonic(), start.learned
    context.progress.enter("copying")
    if learned.reason is None:
        try:
            return _Reading(context, name, start).read(began)
        except NotByDate as error:
            mode: DateFilter = "refused" if error.is_refusal else "ignored"
            learned = replace(learned, date_filter=mode, reason=str(error))
    warning = f"the {name} are not read incrementally. {learned.reason}"
    return Changed(name, start.records, learned, _milliseconds(began), warnings=(warning,))


def _milliseconds(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


class _Reading:
    """Reads one dataset by date, and stages it with the names that are known."""

    def __init__(self, context: SyncContext, name: DatasetName, start: Start) -> None:
        self._context, self._name, self._start = context, name, start
        self._since = start.read_at - OVERLAP
        self._asked = self._since - start.margin
        self._names = KnownNames(context, name, start.learned.unknown_ids)
        self._job: Job | None = None
        self._slices = 0
        self._days = False

    def read(self, began: float) -> Changed:
        """Read all pages, and stage ten at a time."""
        copied = Copied()
        for pages in _batches(self._read_pages()):
            copied += self._stage(pages)
        self._require_relations()
        self._leave_out_emptied()
        return Changed(
            self._name,
            self._start.records,
            Learned("days" if self._days else "times", None, self._names.unknown),
            _milliseconds(began),
            self._slices,
            copied.cleaned,
            fields=self._fields(),
            dimensions=tuple(self._dimensions(copied.tags)),
        )

    def _read_pages(self) -> Iterator[Page]:
        """Yield the pages with changed records, then those with new ones."""
        context, name = self._context, self._name
        relations = context.settings.relations(name)
        if name == "contacts":
            if self._start.learned.date_filter is None:
                now = max(self._start.read_at, datetime.now(UTC))
                probe_filter(context.client, DATASETS[name], now)
            pages = context.pages(name, relations, changed_after(self._asked))
            for page in read_changed(pages, self._asked):
                self._days = self._days or any(_is_older(row, self._asked) for row in page.rows)
                yield page
        else:
            yield from read_newest_first(context.pages(name, relations, NEWEST_FIRST), self._since)
        pages = context.pages(name, relations, rows=NEW_ROWS)
        yield from read_after_id(pages, self._start.newest_id)

    def _stage(self, pages: Sequence[Page]) -> Copied:
        """Stage the new and changed records of some pages as one slice."""
        dataset = DATASETS[self._name]
        ids = [record_id for page in pages for record_id in page.ids]
        dates = read_dates(self._context.database, self._name, ids)
        newer = [self._without_older(page, dates) for page in pages]
        walked = [make_page(dataset, page, NOTHING_COVERED) for page in newer if page.ids]
        if not walked:
            return Copied()
        if self._names.learn(walked) or self._job is None:
            self._job = self._make_job(walked[0])
        copied = stage_pages(self._context, self._job, self._slices, walked)
        self._slices += 1
        return copied

    def _without_older(self, page: Page, published: Mapping[int, datetime]) -> Page:
        """Return a page without records that did not change, or that a lagging replica shows.

        Masked deals have no date, so only new ones are kept.
        """
        rows = [
            row
            for record_id, row in zip(page.ids, page.rows, strict=True)
            if record_id > self._start.newest_id
            or (
                (date := date_of(DATASETS[self._name], row))
                and self._since <= date >= published.get(record_id, date)
            )
        ]
        return replace(page, rows=rows)

    def _make_job(self, page: WalkPage) -> Job:
        name, context = self._name, self._context
        plan = Plan(name, None, self._start.newest_id, context.settings.page_size, ())
        relations = context.settings.relations(name)
        open_walk = partial(context.walk, name, page.relations)
        metadata, vanished = self._names.metadata, self._names.vanished
        privacy = open_privacy(context.database, context.settings, name, metadata)
        enricher = make_enricher(name, metadata, vanished, privacy.rules)
        return Job(plan, metadata, open_walk, enricher, relations, privacy=privacy)

    def _require_relations(self) -> None:
        """Raise SyncFailed if a relation was left out that came with the last full sync.

        New contacts would be published without their tags, and not be read again.
        """
        name, reasons = self._name, self._context.optional_relations[self._name].reasons
        last = read_last_full(self._context.database, name) if reasons else None
        known = last.left_out if last else ()
        if missing := [relation for relation in reasons if relation not in known]:
            raise SyncFailed(
                f"ActiveCampaign did not send {' and '.join(missing)} along with the {name}, as it "
                f"did in the last full sync. {reasons[missing[0]]}",
                "The next incremental sync reads the changes again.",
            )

    def _leave_out_emptied(self) -> None:
        """Let the next full sync judge records that lose all of a part."""
        context, name = self._context, self._name
        if ids := leave_out_emptied(context.database, context.sync, name) if self._job else []:
            logger.info("%d %s that lose a whole part wait for a full sync", len(ids), name)

    def _fields(self) -> tuple[CustomField, ...] | None:
        """Return the custom fields if they were read again."""
        is_read = self._names.has_read("contact_fields") or self._names.has_read("deal_fields")
        return self._job.enricher.fields if is_read and self._job else None

    def _dimensions(self, tag_names: Mapping[str, str]) -> Iterator[Dimension]:
        yield from self._names.dimensions()
        if tag_names:
            tags = [{"id": tag_id, "tag": name} for tag_id, name in tag_names.items()]
            yield Dimension("tags", Cleaner().clean(tags), is_complete=False)


def _batches(pages: Iterator[Page]) -> Iterator[list[Page]]:
    """Yield ten pages at a time: many records can have changed at once."""
    while batch := [*islice(pages, MAX_PAGES_PER_SLICE)]:
        yield batch


def _is_older(row: Record, since: datetime) -> bool:
    date = date_of(DATASETS["contacts"], row)
    return date is not None and date < since
