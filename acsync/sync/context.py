"""Wire one sync together, in one place: settings, database, client, lease and log row."""

import ctypes
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from acsync.activecampaign.client import Client
from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.pagination import Walk
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.errors import AcsyncError
from acsync.models import (
    DATASETS,
    DatasetName,
    DatasetResult,
    ListingName,
    RelationName,
    Sync,
)
from acsync.settings import Settings
from acsync.store.account import require_account
from acsync.store.database import Database, open_database, require_current_schema
from acsync.store.lease import keep_lease, start_sync
from acsync.store.status import read_pace
from acsync.store.sync_log import finish_log
from acsync.sync.deadline import Deadline
from acsync.sync.progress import Progress

# glibc raises its threshold for large blocks with each one freed, and then keeps half a megabyte a
# page in pools that fragment: over 1,600 pages the process grew from 360 to 550 MB. With these
# limits (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX of malloc.h) it stays near 320 MB.
ALLOCATOR_LIMITS = {-1: 128 * 1024, -3: 64 * 1024, -8: 2}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncContext:
    """What every step of one sync needs; made by `open_sync`, changed by nobody."""

    settings: Settings
    datasets: tuple[DatasetName, ...]
    accept_shrink: bool
    database: Database
    client: Client
    sync: Sync
    missing_values: Mapping[DatasetName, MissingValues]
    deadline: Deadline
    progress: Progress
    started: float = field(default_factory=time.monotonic)

    def walk(self, name: DatasetName, relations: tuple[RelationName, ...]) -> Walk:
        """Return the reader of a dataset, with these relations coming along."""
        missing = self.missing_values[name]
        return Walk(self.client, DATASETS[name], self.settings.page_size, missing, relations)

    def relations(self, name: DatasetName) -> tuple[RelationName, ...]:
        """Return what should come along with each record of a dataset."""
        wanted = self.settings.sideloads
        return tuple(one for one in DATASETS[name].relations if one in wanted)

    def needs(self, name: DatasetName) -> tuple[ListingName, ...]:
        """Return the listings that explain the records of a dataset."""
        left_out = {*DATASETS[name].relations} - {*self.relations(name)}
        return tuple(need for need in DATASETS[name].needs if need not in left_out)

    @property
    def elapsed_ms(self) -> int:
        """Return the milliseconds since the sync started."""
        return round((time.monotonic() - self.started) * 1000)


@contextmanager
def open_sync(
    settings: Settings,
    datasets: tuple[DatasetName, ...],
    *,
    accept_shrink: bool = False,
    holder: str,
    flow_run_id: str | None = None,
) -> Iterator[SyncContext]:
    """Take the lease and open the log row; whatever happens inside, close both at the end.

    `holder` names this sync to others that meet its lease. Raises LeaseHeld where another sync is
    running, and SchemaOutdated or SchemaTooNew.
    """
    _limit_allocator()
    with ExitStack() as stack:
        database = stack.enter_context(closing(open_database(settings.database)))
        require_current_schema(database)
        require_account(database, settings.account_name)
        limiter = RateLimiter(settings.rate_limit, read_pace(database))
        # Closed first: threads that go on after a SIGTERM then get an error instead of a page.
        client = Client(settings.account_url, settings.api_key.get_secret_value(), limiter)
        stack.enter_context(closing(client))
        sync = start_sync(database, holder, flow_run_id)
        progress = Progress(limiter)
        stack.enter_context(keep_lease(database, sync, progress.read))
        context = SyncContext(
            settings,
            datasets,
            accept_shrink,
            database,
            client,
            sync,
            missing_values={name: MissingValues(client, DATASETS[name]) for name in datasets},
            deadline=stack.enter_context(closing(Deadline(client, settings.max_duration))),
            progress=progress,
        )
        try:
            yield context
        except BaseException as error:
            client.close()
            _fail(context, str(error) or f"The sync was ended by {type(error).__name__}.")
            raise


def _fail(context: SyncContext, reason: str) -> None:
    """Close the log row of a sync that published nothing; a closed row stays as it is."""
    results: Mapping[DatasetName, DatasetResult] = dict.fromkeys(
        context.datasets, DatasetResult(error=reason)
    )
    limiter = context.client.rate_limiter
    try:
        with context.database.begin() as connection:
            finish_log(connection, context.sync, results, limiter.counts, limiter.pace)
    except AcsyncError as error:
        # The next sync closes the row; this error must not hide why the sync ended.
        logger.warning("the log row of %s stays open: %s", context.sync.sync_id, error)


def _limit_allocator() -> None:
    """Let the allocator return what every page leaves; C libraries without mallopt need it not."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, limit in ALLOCATOR_LIMITS.items():
        mallopt(option, limit)
