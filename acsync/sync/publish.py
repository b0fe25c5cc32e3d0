"""Publish what is verified, all of it in one transaction with the log row."""

import logging
from collections.abc import Mapping, Sequence

from acsync.errors import StoreError
from acsync.models import DatasetName, DatasetResult, SyncResult
from acsync.store.account import note_account
from acsync.store.catalogue import record_fields
from acsync.store.deal_stages import record_stages
from acsync.store.lease import require_lease
from acsync.store.publish import notify, publish_dataset, retire_versions
from acsync.store.staging import sweep_staging
from acsync.store.sync_log import finish_log
from acsync.store.wide_views import update_wide_views
from acsync.sync.context import SyncContext
from acsync.sync.verify import Verified

logger = logging.getLogger(__name__)


def publish(
    context: SyncContext, verified: Sequence[Verified], failures: Mapping[DatasetName, str]
) -> SyncResult:
    """Publish the verified datasets; readers see the last snapshot until the moment of commit.

    `failures` are the reasons of the datasets that are not published. Raises LeaseLost where
    another sync took over, and StoreError; nothing is published then.
    """
    context.progress.enter("publishing")
    results = {name: DatasetResult(error=reason) for name, reason in failures.items()}
    limiter = context.client.rate_limiter
    with context.database.begin() as connection:
        require_lease(connection, context.sync)
        for one in verified:
            changes = publish_dataset(connection, context.sync, one.dataset, one.duration_ms)
            _require_all(one, changes.records)
            retire_versions(connection, one.dataset, context.settings.keep_syncs)
            fields = record_fields(connection, context.sync, one.dataset, one.fields)
            if one.dataset == "deals":
                record_stages(connection, context.sync)
            results[one.dataset] = DatasetResult(
                one.duration_ms, changes, warnings=one.warnings, fields=fields
            )
        if verified:
            note_account(connection, context.settings.account_name)
        counts, pace = limiter.counts, limiter.pace
        finish_log(connection, context.sync, results, counts, pace)
        notify(connection, context.sync, results)
    results = update_wide_views(context.database, context.sync, results)
    _tidy_up(context)
    return SyncResult(
        context.sync.sync_id,
        context.settings.account_host,
        context.sync.started_at,
        context.elapsed_ms,
        context.settings.rate_limit,
        pace.learned_rate,
        counts,
        sum(one.cleaned for one in verified),
        {name: results[name] for name in context.datasets},
    )


def _tidy_up(context: SyncContext) -> None:
    """Do what can wait for the next sync: the data is published."""
    if not context.deadline.expired:
        try:
            sweep_staging(context.database, context.sync)
        except StoreError as error:
            logger.warning("staging is swept by the next sync: %s", error)


def _require_all(verified: Verified, published: int) -> None:
    """Raise StoreError where staging lost what was verified.

    Staging is unlogged: without this, a crash of Postgres between verifying and publishing would
    publish an empty account.
    """
    if published != verified.records:
        raise StoreError(
            f"Of {verified.records:,} {verified.dataset} that were staged, {published:,} are left: "
            "Postgres was restarted after a crash. Nothing was published.",
            "Start a new sync.",
        )
