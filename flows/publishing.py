"""Publish what passed the gate, all of it in one transaction with the log row."""

from acsync.outcome import DatasetOutcome
from acsync.store.lease import require_lease
from acsync.store.log import finish_log
from acsync.store.snapshot import publish_dataset, retire_versions
from flows.session import SyncSession


def publish_datasets(session: SyncSession) -> None:
    """Publish every healthy dataset; readers see the last snapshot until the moment of commit.

    Raises LeaseLost where another sync has taken over, and publishes nothing then.
    """
    elapsed_ms = session.elapsed_ms
    outcomes = {
        name: DatasetOutcome(elapsed_ms, error=session.failures.get(name))
        for name in session.datasets
    }
    with session.database.begin() as connection:
        require_lease(connection, session.sync)
        for name in session.healthy:
            changes = publish_dataset(connection, session.sync, name, elapsed_ms)
            outcomes[name] = DatasetOutcome(session.elapsed_ms, changes)
            retire_versions(connection, name, session.settings.keep_syncs)
        finish_log(connection, session.sync, outcomes, session.calls)
    session.outcomes = outcomes
    session.finished = True
