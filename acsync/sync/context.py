"""Wire one sync together, in one place: settings, database, client, lease and log row."""

import ctypes
import gc
import logging
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from acsync.activecampaign.client import Client
from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.activecampaign.sideloads import OptionalRelations
from acsync.activecampaign.walk import Walk
from acsync.datasets import DATASETS, DatasetName, RelationName
from acsync.errors import AcsyncError
from acsync.models import DatasetResult, Sync
from acsync.settings import Settings
from acsync.store.database import Database, open_database, require_current_schema
from acsync.store.lease import keep_lease, start_sync
from acsync.store.schema_owner import require_account
from acsync.store.status import read_pace
from acsync.store.sync_log import finish_log
from acsync.sync.deadline import Deadline
from acsync.sync.progress import Progress

# glibc raises its threshold for large blocks with each one freed, and then keeps half a megabyte a
# page in pools that fragment: over 1,600 pages the process grew by 200 MB. With these limits
# (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX of malloc.h) it hardly grows.
ALLOCATOR_LIMITS = {-1: 128 * 1024, -3: 64 * 1024, -8: 2}

# Before the newest page is read and counted again, in seconds.
RECOUNT_PAUSES = (0.5, 1.0, 2.0)

# How many objects a collection of garbage waits for; a page has some 5,000.
GARBAGE_OBJECTS = 100_000

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
    optional_relations: Mapping[DatasetName, OptionalRelations]
    deadline: Deadline
    progress: Progress
    started: float = field(default_factory=time.monotonic)
    recount_pauses: tuple[float, ...] = RECOUNT_PAUSES

    def walk(self, name: DatasetName, relations: tuple[RelationName, ...]) -> Walk:
        """Return the reader of a dataset, with these relations as long as they come."""
        return Walk(
            self.client,
            DATASETS[name],
            self.settings.page_size,
            self.missing_values[name],
            relations,
            self.optional_relations[name],
        )

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
    _spare_memory()
    with ExitStack() as stack:
        database = stack.enter_context(closing(open_database(settings)))
        require_current_schema(database)
        require_account(database, settings.account_name)
        limiter = RateLimiter(settings.rate_limit, read_pace(database))
        # Closed first: threads that go on after a SIGTERM then get an error instead of a page.
        client = Client(settings.account_url, settings.api_key.get_secret_value(), limiter)
        stack.enter_context(closing(client))
        sync = start_sync(database, holder, flow_run_id)
        try:
            progress = Progress(limiter)
            stack.enter_context(keep_lease(database, sync, progress.read))
            yield SyncContext(
                settings,
                datasets,
                accept_shrink,
                database,
                client,
                sync,
                missing_values={name: MissingValues(DATASETS[name]) for name in datasets},
                optional_relations={name: OptionalRelations() for name in datasets},
                deadline=stack.enter_context(closing(Deadline(client, settings.max_duration))),
                progress=progress,
            )
        except BaseException as error:
            with _ignore_signals():
                client.close()
                reason = str(error) or f"The sync was ended by {type(error).__name__}."
                _fail(database, sync, dict.fromkeys(datasets, DatasetResult(error=reason)), limiter)
            raise


@contextmanager
def _ignore_signals() -> Iterator[None]:
    """Let no second Ctrl-C or SIGTERM stop the closing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in handlers.items():
            # None stands for one that was not set from Python.
            signal.signal(one, handler or signal.SIG_DFL)


def _fail(
    database: Database,
    sync: Sync,
    results: Mapping[DatasetName, DatasetResult],
    limiter: RateLimiter,
) -> None:
    """Close the log row of a sync that published nothing; a closed row stays as it is."""
    try:
        with database.begin() as connection:
            finish_log(connection, sync, results, limiter.counts, limiter.pace)
    except AcsyncError as error:
        # The next sync closes the row; this error must not hide why the sync ended.
        logger.warning("the log row of %s stays open: %s", sync.sync_id, error)


def _spare_memory() -> None:
    """Let the allocator return what every page leaves, and look for garbage less often.

    Both are for the whole process, and stay. C libraries without mallopt need it not.
    """
    # Pages are freed without the collector, which took a fifth of a sync to look at all modules.
    gc.set_threshold(GARBAGE_OBJECTS)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, limit in ALLOCATOR_LIMITS.items():
        mallopt(option, limit)
