"""Publish what was verified, or what an incremental sync read, and close the log row.

All of it happens in one transaction.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from acsync.datasets import DatasetName
from acsync.errors import DataRefused, StoreError, SyncFailed, add_account
from acsync.readings import Warnings
from acsync.results import Changes, DatasetResult, EventsResult, FieldChange, Sync, SyncResult
from acsync.setting_types import format_kept
from acsync.store.database import Transaction
from acsync.store.dimensions import record_dimension
from acsync.store.forgotten import drop_expired, read_left_out
from acsync.store.incremental_state import forget_learned, record_learned
from acsync.store.interval import settle_interval
from acsync.store.lease import require_lease
from acsync.store.publish import (
    drop_empty,
    notify,
    publish_dataset,
    publishing,
)
from acsync.store.recall import count_recall
from acsync.store.retention import Keep, retire_versions, settle_keep
from acsync.store.schema_owner import note_account
from acsync.store.staging import (
    add_to_kept_plan,
    count_staged_slices,
    drop_own,
    sweep_staging,
)
from acsync.store.stored_rows import update_statistics
from acsync.store.sync_history import read_latest
from acsync.store.sync_log import finish_log, thin_log
from acsync.store.wide_views import record_fields, update_wide_views
from acsync.sync.context import SyncContext
from acsync.sync.forget import erase_left_out
from acsync.sync.incremental import OVERLAP, Changed
from acsync.sync.past_stays import fill_past_stays
from acsync.sync.privacy import settle_privacy
from acsync.sync.verify import Verified

logger = logging.getLogger(__name__)

# Tables with fewer new rows are quick to read without statistics.
MANY = 10_000


def publish(
    context: SyncContext,
    verified: Sequence[Verified | Changed],
    failures: Mapping[DatasetName, str],
    events: EventsResult | None = None,
) -> SyncResult:
    """Publish the datasets; readers see the previous snapshot until the commit.

    `events` are those that this sync read; stays are filled from them. `failures` are the reasons
    why other datasets are not published. A dataset that Postgres refuses is added to them. Raises
    LeaseLost if another sync took over, AnotherAccount, or StoreError; nothing is published then,
    and another try may help.
    """
    context.progress.enter("publishing")
    began = time.monotonic()
    limiter = context.client.rate_limiter
    with context.database.begin() as connection:
        require_lease(connection, context.sync)
        # Present if an earlier try was committed but its answer was lost.
        logged = read_latest(connection, "id = :number", number=context.sync.number)
        results = (
            dict(logged.datasets)
            if logged
            else _publish_all(connection, context, verified, failures, events)
        )
    if context.sync.kind == "full" or any(result.fields for result in results.values()):
        results = update_wide_views(context.database, context.sync, results)
    if events and events.complete_at:
        results = fill_past_stays(context, results, events.complete_at)
    _tidy_up(context, results)
    ended = time.monotonic()
    return SyncResult(
        context.sync.sync_id,
        context.settings.account_host,
        context.sync.started_at,
        round((ended - context.started) * 1000),
        context.settings.rate_limit,
        limiter.pace.learned_rate,
        limiter.counts,
        sum(dataset.cleaned for dataset in verified),
        {name: results[name] for name in context.datasets if name in results},
        context.client.answer_times.mean_seconds,
        events,
        ended - began,
    )


def _publish_all(
    connection: Transaction,
    context: SyncContext,
    verified: Sequence[Verified | Changed],
    failures: Mapping[DatasetName, str],
    events: EventsResult | None,
) -> dict[DatasetName, DatasetResult]:
    """Publish each dataset under a savepoint, and close the log row."""
    results = {name: DatasetResult(error=reason) for name, reason in failures.items()}
    interval = settle_interval(connection, context.settings.interval)
    keep = settle_keep(connection, context.settings.keep_syncs, interval)
    for dataset in verified:
        results[dataset.dataset] = (
            _publish_changed(connection, context, dataset)
            if isinstance(dataset, Changed)
            else _publish_one(connection, context, dataset, keep)
        )
    erase_left_out(connection, context.sync)
    if events and (deals := results.get("deals")):
        results["deals"] = replace(deals, warnings=(*deals.warnings, *events.warnings))
    if context.sync.kind == "full":
        thin_log(connection)
    if any(result.success for result in results.values()):
        note_account(connection, context.settings.account_name)
    limiter = context.client.rate_limiter
    finish_log(connection, context.sync, results, limiter.counts, limiter.pace)
    news = [result for result in results.values() if result.changes and result.changes.is_any]
    if context.sync.kind == "full" or news:
        notify(connection, context.sync, results)
    return results


def _publish_one(
    connection: Transaction, context: SyncContext, verified: Verified, keep: Keep
) -> DatasetResult:
    name, sync, duration_ms = verified.dataset, context.sync, verified.duration_ms
    try:
        with publishing(connection, sync, name):
            changes = publish_dataset(connection, sync, name, duration_ms, context.server_started)
            left = changes.records + _count_left_out(connection, sync, name)
            _require_staged(name, verified.records, left)
            if name == "contacts":
                drop_expired(connection)
            recall = count_recall(connection, sync, name, OVERLAP)
            drop_empty(connection, sync, name)
            forget_learned(connection, name)
            changes = replace(changes, dropped=retire_versions(connection, name, keep))
            fields = record_fields(connection, sync, name, verified.fields)
            settle_privacy(connection, name, verified.privacy)
            for dimension in verified.dimensions:
                record_dimension(connection, dimension)
    except (DataRefused, SyncFailed) as error:
        return DatasetResult(duration_ms, error=str(error))
    warnings = (*verified.warnings, *_warn_of_shorter(context, keep))
    return DatasetResult(
        duration_ms,
        changes,
        warnings=warnings,
        fields=fields,
        recall=recall,
        left_out=verified.left_out,
    )


def _publish_changed(
    connection: Transaction, context: SyncContext, changed: Changed
) -> DatasetResult:
    """Publish what an incremental sync read; nothing if the account does not answer by date."""
    name, sync, duration_ms = changed.dataset, context.sync, changed.duration_ms
    record_learned(connection, name, changed.learned)
    if changed.learned.reason:
        nothing = Changes(changed.records, added=0, updated=0, deleted=0, masked=0)
        return DatasetResult(duration_ms, nothing, warnings=changed.warnings)
    fields: tuple[FieldChange, ...] = ()
    try:
        with publishing(connection, sync, name):
            left = count_staged_slices(connection, sync, name)
            _require_staged(f"slices of {name}", changed.slices, left)
            changes = publish_dataset(connection, sync, name, duration_ms, context.server_started)
            add_to_kept_plan(connection, sync, name)
            drop_empty(connection, sync, name)
            if changed.fields is not None:
                fields = record_fields(connection, sync, name, changed.fields)
            for dimension in changed.dimensions:
                record_dimension(connection, dimension)
    except (DataRefused, SyncFailed) as error:
        return DatasetResult(duration_ms, error=str(error))
    return DatasetResult(duration_ms, changes, warnings=changed.warnings, fields=fields)


def _warn_of_shorter(context: SyncContext, keep: Keep) -> Warnings:
    """Warn if the setting would delete history that is kept now."""
    shorter = context.settings.keep_syncs
    if shorter == keep:
        return ()
    command = add_account(f"acsync migrate --keep {format_kept(shorter)}")
    return (
        f"ACSYNC_KEEP_SYNCS is {format_kept(shorter)}, shorter than the {format_kept(keep)} in "
        f"force, which stays in force. To keep less history, run: {command}",
    )


def _tidy_up(context: SyncContext, results: Mapping[DatasetName, DatasetResult]) -> None:
    """Free the staging of published datasets; after an error, the next sync does it.

    Also updates the statistics of the tables after a large publication.
    """
    published = [name for name, result in results.items() if result.success]
    try:
        if context.sync.kind == "incremental":
            drop_own(context.database, context.sync)
        elif published:
            sweep_staging(context.database, context.sync, published)
        for name in published:
            if _is_large(results[name].changes):
                update_statistics(context.database, name)
    except StoreError as error:
        logger.warning("the next sync frees the staging: %s", error)


def _count_left_out(connection: Transaction, sync: Sync, name: DatasetName) -> int:
    """Return how many forgotten contacts are staged and not published."""
    if name == "deals":
        return 0
    return sum(not is_published for is_published in read_left_out(connection, sync).values())


def _is_large(changes: Changes | None) -> bool:
    """Return whether a tenth of many records is new or changed."""
    written = changes.added + changes.updated if changes else 0
    return changes is not None and written > max(MANY, changes.records / 10)


def _require_staged(text: str, staged: int, left: int) -> None:
    """Raise SyncFailed if records or slices are no longer staged.

    The staging tables are unlogged. Without this check, a crash of Postgres between staging and
    publishing would publish an empty account, or nothing of what an incremental sync has read.
    """
    if left != staged:
        raise SyncFailed(
            f"Of {staged:,} {text} that were staged, {left:,} are left: "
            "Postgres was restarted after a crash. The last snapshot stays.",
            "Start a new sync.",
        )
