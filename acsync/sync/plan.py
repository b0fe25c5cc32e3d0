"""Plan a dataset: cut it into slices, or resume the walk of a sync that did not finish."""

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from typing import Any

from acsync.activecampaign.slices import plan_slices
from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DATASETS, DatasetName, ListingName, Metadata, RelationName
from acsync.readings import ListingRows, Plan, Slice, Warnings
from acsync.store.staged_plans import adopt_staging, keep_plan, read_resumed
from acsync.store.staging import count_staged_records, drop_staging, read_coverage
from acsync.store.sync_log import record_plan
from acsync.sync.completeness import has_lost_records
from acsync.sync.context import SyncContext
from acsync.sync.job import Job, make_enricher
from acsync.sync.privacy import open_privacy

logger = logging.getLogger(__name__)


def plan(
    context: SyncContext,
    name: DatasetName,
    newest: WalkPage,
    listings: Mapping[ListingName, ListingRows],
) -> Job:
    """Plan the copy of a dataset, or resume the plan of a sync that did not finish.

    `listings` are the metadata that the dataset needs. Raises UnknownField if a privacy rule names
    none of its custom fields.
    """
    context.progress.enter("planning")
    metadata: Metadata = {need: listing.rows for need, listing in listings.items()}
    vanished: Metadata = {need: listing.vanished for need, listing in listings.items()}
    privacy = open_privacy(context.database, context.settings, name, metadata)
    basis = _basis(context, name, (metadata, vanished, asdict(privacy.state)), newest.relations)
    resumed = _resume(context, name, basis, newest)
    readers = context.readers.needed(name)
    made = resumed or plan_slices(DATASETS[name], newest, context.settings.page_size, readers)
    if not resumed:
        keep_plan(context.database, context.sync, name, basis, json.dumps(asdict(made)))
    record_plan(context.database, context.sync, name, made.total or 0)
    copied = count_staged_records(context.database, context.sync, name)
    context.progress.expect(name, made.total or 0, copied)
    context.deadline.expect_calls((made.total or 0) // made.page_rows)
    warnings = [text for listing in listings.values() for text in listing.warnings]
    return Job(
        made,
        metadata,
        partial(context.walk, name, made.relations),
        make_enricher(name, metadata, vanished, privacy.rules),
        context.settings.relations(name),
        _find_staged(context, name) if resumed else frozenset(),
        warnings=(*warnings, *privacy.warnings, *_warn_of_resumed(context, name)),
        privacy=privacy,
        started=newest.asked_at,
    )


def interleave(jobs: Iterable[Job]) -> list[Slice]:
    """Return the slices of several jobs in an order in which all jobs end at the same time."""
    turns = [(part.offset / (job.plan.total or 1), part) for job in jobs for part in job.slices]
    return [part for _, part in sorted(turns, key=lambda turn: turn[0])]


def _resume(context: SyncContext, name: DatasetName, basis: str, newest: WalkPage) -> Plan | None:
    """Take over the staging of a sync that did not finish, and return its plan if there is one.

    The plan gets the current total, so that records deleted since then show as a surplus.
    """
    resumable = context.deadline.resumable
    kept = adopt_staging(context.database, context.sync, name, basis, resumable)
    if kept is None:
        return None
    values = json.loads(kept)
    slices = tuple(Slice(**part) for part in values["slices"])
    earlier = Plan(**values | {"slices": slices, "relations": tuple(values["relations"])})
    if has_lost_records(earlier, newest.total, newest.ids):
        logger.info("%s were deleted since the plan was made: all %s are read again", name, name)
        drop_staging(context.database, context.sync, name)
        return None
    if newest.total is None:
        return earlier
    return replace(earlier, total=newest.total, newest_id=newest.newest_id)


def _find_staged(context: SyncContext, name: DatasetName) -> frozenset[int]:
    staged = frozenset(read_coverage(context.database, context.sync, name))
    logger.info("%d slices of %s were staged by an earlier sync", len(staged), name)
    return staged


def _warn_of_resumed(context: SyncContext, name: DatasetName) -> Warnings:
    records, oldest_read = read_resumed(context.database, context.sync, name)
    if oldest_read is None:
        return ()
    minutes = math.ceil((context.sync.started_at - oldest_read).total_seconds() / 60)
    return (
        f"{records:,} {name} were taken over from a sync that did not finish; the oldest "
        f"was read {minutes} min before this sync started",
    )


def _basis(
    context: SyncContext,
    name: DatasetName,
    read: tuple[Mapping[Any, Any], ...],
    relations: tuple[RelationName, ...],
) -> str:
    """Return a hash of everything that must be equal for a sync to resume another's staging."""
    settings = context.settings
    key = hashlib.blake2b(settings.api_key.get_secret_value().encode(), digest_size=8).hexdigest()
    asked = [settings.page_size, *settings.relations(name), "sent", *relations]
    # Staged deals of a person who was forgotten after the plan was made have their texts.
    forgotten = sorted(map(bytes.hex, context.forgotten.hashes))
    basis = [version("acsync"), settings.account_url, key, *asked, read, forgotten]
    text = json.dumps(basis, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
