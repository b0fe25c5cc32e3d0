"""Wire one sync together: settings, database, client, lease and log row."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from acsync.activecampaign.client import Client
from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.page_reader import PageReader, Question
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.activecampaign.sideloads import OptionalRelations
from acsync.activecampaign.walk import Walk
from acsync.datasets import DATASETS, DatasetName, RelationName
from acsync.errors import AcsyncError, LeaseHeld, sanitize
from acsync.forgotten import Forgotten
from acsync.process import ignore_signals, spare_memory
from acsync.results import DatasetResult, Sync, SyncKind
from acsync.settings import Settings
from acsync.store.database import Database, open_database, require_current_schema
from acsync.store.forgotten import read_forgotten
from acsync.store.interval import read_interval
from acsync.store.lease import keep_lease, start_sync
from acsync.store.privacy import require_rules
from acsync.store.schema_owner import require_account
from acsync.store.sync_history import read_pace
from acsync.store.sync_log import finish_log
from acsync.sync.deadline import Deadline
from acsync.sync.progress import Progress
from acsync.sync.readers import Readers

# Seconds to wait before the newest page is read and counted again.
RECOUNT_PAUSES = (0.5, 1.0, 2.0)

# How long a full sync waits for an incremental one, which runs for seconds. Otherwise the schedule
# of the one could keep the other out.
WAIT_SECONDS, LOOK_SECONDS = 300.0, 1.0

STOPPED = (
    "The sync was stopped before it was complete: its process received a signal, for example "
    "because a worker was stopped, a run was cancelled, or somebody pressed Ctrl-C. The next sync "
    "resumes what was read recently."
)

logger = logging.getLogger(__name__)


@dataclass
class SyncContext:
    """The settings and resources that all steps of one sync share, made by `open_sync`.

    The steps run in several threads and replace no part. `client`, `missing_values`,
    `optional_relations`, `deadline`, `progress` and `readers` change while they are shared.
    """

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
    readers: Readers
    forgotten: Forgotten
    started: float = field(default_factory=time.monotonic)
    recount_pauses: tuple[float, ...] = RECOUNT_PAUSES

    @property
    def reads_events(self) -> bool:
        """Return whether this sync reads the events of its deals."""
        return self.settings.deal_events and "deals" in self.datasets

    def walk(self, name: DatasetName, relations: tuple[RelationName, ...]) -> Walk:
        """Return the reader of a dataset; it requests `relations` while the account sends them."""
        return Walk(self.pages(name, relations))

    def pages(
        self,
        name: DatasetName,
        relations: tuple[RelationName, ...],
        question: Question | None = None,
        rows: int | None = None,
    ) -> PageReader:
        """Return the reader of single pages of a dataset, of at most `rows` records."""
        page_size = self.settings.page_size
        return PageReader(
            self.client,
            min(page_size, rows or page_size),
            self.missing_values[name],
            relations,
            self.optional_relations[name],
            question,
        )

    @property
    def server_started(self) -> datetime | None:
        """Return when this sync started, by the account's clock, or None if no answer tells."""
        return self.client.server_clock.time_of(self.started)


@contextmanager
def open_sync(
    settings: Settings,
    datasets: tuple[DatasetName, ...],
    *,
    accept_shrink: bool = False,
    holder: str,
    flow_run_id: str | None = None,
    kind: SyncKind = "full",
) -> Iterator[SyncContext]:
    """Take the lease and open the log row; close both at the end, also after an error.

    `holder` is the name that other syncs see in the lease. Raises LeaseHeld if another sync is
    running, PrivacyDiffers, and SchemaOutdated or SchemaTooNew.
    """
    spare_memory()
    with ExitStack() as stack:
        database = stack.enter_context(closing(open_database(settings)))
        require_current_schema(database)
        require_account(database, settings.account_name)
        require_rules(database, settings)
        with database.begin() as connection:
            interval = settings.interval or read_interval(connection)
        # Closed before the rest, so that threads which are still reading get an error.
        client = stack.enter_context(closing(open_client(settings, database)))
        sync = _take_lease(database, holder, flow_run_id, kind)
        try:
            progress = Progress(client.rate_limiter)
            stack.enter_context(keep_lease(database, sync, progress.read))
            # Nobody can be forgotten while this sync has the lease.
            with database.begin() as connection:
                forgotten = read_forgotten(connection)
            yield SyncContext(
                settings,
                datasets,
                accept_shrink,
                database,
                client,
                sync,
                missing_values={name: MissingValues(DATASETS[name]) for name in datasets},
                optional_relations={name: OptionalRelations() for name in datasets},
                deadline=stack.enter_context(
                    closing(Deadline(client, settings.max_duration, interval))
                ),
                progress=progress,
                readers=Readers(client, settings.rate_limit),
                forgotten=forgotten,
            )
        except BaseException as error:
            with ignore_signals():
                client.close()
                failed = DatasetResult(error=reason_of(error))
                _fail(database, sync, dict.fromkeys(datasets, failed), client.rate_limiter)
            raise


def open_client(settings: Settings, database: Database) -> Client:
    """Return a client of the account, with the pace that the last sync has learned."""
    limiter = RateLimiter(settings.rate_limit, read_pace(database))
    return Client(settings.account_url, settings.api_key.get_secret_value(), limiter)


def _take_lease(database: Database, holder: str, flow_run_id: str | None, kind: SyncKind) -> Sync:
    """Start a sync; a full one waits for an incremental one to end."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return start_sync(database, holder, flow_run_id, kind)
        except LeaseHeld as held:
            may_wait = kind == "full" and held.by_incremental
            if not may_wait or time.monotonic() > give_up_at:
                raise
        time.sleep(LOOK_SECONDS)


def reason_of(error: BaseException) -> str:
    """Return the sentence for the log row of a sync that this error ended."""
    if isinstance(error, AcsyncError):
        return str(error)
    if not isinstance(error, Exception):  # a signal, or Prefect's exception for one
        return STOPPED
    return sanitize(f"The sync failed unexpectedly ({type(error).__name__}): {error}")


def _fail(
    database: Database,
    sync: Sync,
    results: Mapping[DatasetName, DatasetResult],
    limiter: RateLimiter,
) -> None:
    """Close the log row of a sync that published nothing, unless it is closed already."""
    try:
        with database.begin() as connection:
            finish_log(connection, sync, results, limiter.counts, limiter.pace)
    except AcsyncError as error:
        # The next sync closes the row. Raising would hide why this sync ended.
        logger.warning("the log row of %s stays open: %s", sync.sync_id, error)
