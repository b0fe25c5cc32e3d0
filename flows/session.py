"""Wire one sync together: settings, budget, client, database and lease, in one place.

Tasks find the session of their flow run in a context variable, since Prefect would try to
hash and store what it is handed as a parameter.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from acsync.activecampaign.client import Client
from acsync.activecampaign.pagination import Walk
from acsync.activecampaign.planning import Slice
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.enrich import Enricher
from acsync.errors import AcsyncError, SyncFailed
from acsync.models import (
    DATASETS,
    Calls,
    DatasetName,
    DatasetResult,
    ListingName,
    Record,
    Sync,
    SyncResult,
)
from acsync.settings import Settings
from acsync.store.database import Database, open_database, require_current_schema
from acsync.store.lease import Lease, keep_lease, start_sync
from acsync.store.status import read_learned_rate
from acsync.store.sync_log import finish_log

logger = logging.getLogger(__name__)

_current: ContextVar["SyncSession"] = ContextVar("sync_session")


@dataclass
class SyncSession:
    """What the tasks of one sync share.

    `failures` holds why a dataset will not be published, `proven` how many records the gate let
    pass, `resumed` the numbers of the slices that a dead predecessor left staged.
    """

    settings: Settings
    database: Database
    client: Client
    sync: Sync
    lease: Lease
    datasets: tuple[DatasetName, ...]
    accept_shrink: bool
    started: float = field(default_factory=time.monotonic)
    listings: dict[ListingName, list[Record]] = field(default_factory=dict)
    failures: dict[DatasetName, str] = field(default_factory=dict)
    proven: dict[DatasetName, int] = field(default_factory=dict)
    resumed: dict[DatasetName, frozenset[int]] = field(default_factory=dict)
    outcomes: dict[DatasetName, DatasetResult] = field(default_factory=dict)
    cleaned: int = 0
    finished: bool = False
    ended: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def walk(self, name: DatasetName) -> Walk:
        """Give the reader of a dataset."""
        return Walk(self.client, DATASETS[name], self.settings.page_size)

    def enricher(self, name: DatasetName) -> Enricher:
        """Give what explains a dataset; all its listings must have been read."""
        return Enricher(name, self.listings)

    def is_staged(self, part: Slice) -> bool:
        """Tell whether a predecessor left this slice staged."""
        return part.number in self.resumed.get(part.dataset, ())

    @property
    def healthy(self) -> tuple[DatasetName, ...]:
        """Name the datasets that nothing has gone wrong with."""
        return tuple(name for name in self.datasets if name not in self.failures)

    @property
    def elapsed_ms(self) -> int:
        """Milliseconds since the sync began."""
        return round((time.monotonic() - self.started) * 1000)

    def add_cleaned(self, characters: int) -> None:
        """Count characters that Postgres cannot hold; called by many threads."""
        with self._lock:
            self.cleaned += characters

    def outcome(self) -> SyncResult:
        """Sum up the sync for the report."""
        return SyncResult(
            self.sync.sync_id,
            self.settings.account_host,
            self.sync.started_at,
            self.elapsed_ms,
            self.settings.rate_limit,
            self.calls,
            self.cleaned,
            self.outcomes,
        )

    @property
    def calls(self) -> Calls:
        """Count the calls so far."""
        counts = self.client.budget.counts
        rate = self.client.budget.learned_rate
        return Calls(counts.calls, counts.retries, counts.rate_limited, rate)


def current_session() -> SyncSession:
    """Give the session of the flow run this task belongs to.

    Raises SyncFailed once it ended, so that no task tries again after a SIGTERM.
    """
    session = _current.get()
    if session.ended:
        raise SyncFailed("The sync was ended before this could be done.")
    return session


@contextmanager
def open_session(
    settings: Settings,
    datasets: tuple[DatasetName, ...],
    accept_shrink: bool,
    holder: str,
    flow_run_id: str | None,
) -> Iterator[SyncSession]:
    """Take the lease and open everything; whatever happens, leave no open log row behind.

    Raises LeaseHeld where another sync is running, and SchemaOutdated.
    """
    with ExitStack() as stack:
        database = stack.enter_context(closing(open_database(settings.database)))
        require_current_schema(database)
        budget = RateLimiter(settings.rate_limit, read_learned_rate(database))
        client = Client(settings.account_url, settings.api_key.get_secret_value(), budget)
        stack.enter_context(closing(client))
        sync = start_sync(database, holder, flow_run_id)
        lease = stack.enter_context(keep_lease(database, sync))
        session = SyncSession(settings, database, client, sync, lease, datasets, accept_shrink)
        token = _current.set(session)
        try:
            yield session
        except BaseException as error:
            session.ended = True
            _close_log(session, error)
            raise
        finally:
            _current.reset(token)


def _close_log(session: SyncSession, error: BaseException) -> None:
    """Finish the log row of a sync that was ended; failing to must not hide why."""
    if session.finished:
        return
    reason = str(error) or f"The sync was ended by {type(error).__name__}. Start it again."
    outcomes = {
        name: DatasetResult(session.elapsed_ms, error=session.failures.get(name, reason))
        for name in session.datasets
    }
    try:
        with session.database.begin() as connection:
            finish_log(connection, session.sync, outcomes, session.calls)
    except AcsyncError as problem:
        logger.warning("the log row of %s stays open: %s", session.sync.sync_id, problem)
