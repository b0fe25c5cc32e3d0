"""Publish what passed the gate, all of it in one transaction with the log row."""

import logging

from acsync.errors import StoreError
from acsync.models import Changes, DatasetName, DatasetResult
from acsync.store.lease import require_lease
from acsync.store.publish import publish_dataset, retire_versions
from acsync.store.staging import sweep_staging
from acsync.store.sync_log import finish_log
from flows.session import SyncSession

logger = logging.getLogger(__name__)


def publish_datasets(session: SyncSession) -> None:
    """Publish every healthy dataset; readers see the last snapshot until the moment of commit.

    Raises LeaseLost where another sync has taken over, and publishes nothing then.
    """
    elapsed_ms = session.elapsed_ms
    outcomes = {
        name: DatasetResult(elapsed_ms, error=session.failures.get(name))
        for name in session.datasets
    }
    with session.database.begin() as connection:
        require_lease(connection, session.sync)
        for name in session.healthy:
            changes = publish_dataset(connection, session.sync, name, elapsed_ms)
            _require_proven(session, name, changes)
            outcomes[name] = DatasetResult(session.elapsed_ms, changes)
            retire_versions(connection, name, session.settings.keep_syncs)
        finish_log(connection, session.sync, outcomes, session.calls)
    session.outcomes = outcomes
    session.finished = True
    try:
        sweep_staging(session.database, session.sync)
    except StoreError as error:
        logger.warning("staging is swept by the next sync: %s", error)


def _require_proven(session: SyncSession, name: DatasetName, changes: Changes) -> None:
    """Refuse what the gate has not seen: staging is unlogged, and a crash of Postgres empties it.

    Without this, a crash between the gate and here would publish an empty account.
    """
    if changes.records != session.proven[name]:
        raise StoreError(
            f"Of {session.proven[name]:,} {name} that were staged, {changes.records:,} are left: "
            "Postgres was restarted after a crash. Nothing was published; start a new sync."
        )
