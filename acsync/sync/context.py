"""Wire one sync together: settings, database, client, lease and log row."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from acsync.activecampaign.client import Client
from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.page_reader import PageReader
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.activecampaign.sideloads import OptionalRelations
from acsync.activecampaign.walk import Walk
from acsync.datasets import DATASETS, DatasetName, RelationName
from acsync.errors import AcsyncError, sanitize
from acsync.models import DatasetResult, Sync
from acsync.process import ignore_signals, spare_memory
from acsync.settings import Settings
from acsync.store.database import Database, open_database, require_current_schema
from acsync.store.lease import keep_lease, start_sync
from acsync.store.schema_owner import require_account
from acsync.store.sync_log import finish_log, read_pace
from acsync.sync.deadline import Deadline
from acsync.sync.progress import Progress

# Seconds to wait before the newest page is read and counted again.
RECOUNT_PAUSES = (0.5, 1.0, 2.0)

STOPPED = (
    "The sync was stopped before it was complete: its process received a signal, for example "
    "because a worker was stopped, a run was cancelled, or somebody pressed Ctrl-C. The next sync "
    "resumes what was read recently."
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncContext:
    """The settings and resources that all steps of one sync share, made by `open_sync`.

    The steps run in several threads. `missing_values`, `optional_relations`, `deadline` and
    `progress` change while they are shared.
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
    started: float = field(default_factory=time.monotonic)
    recount_pauses: tuple[float, ...] = RECOUNT_PAUSES

    @property
    def reads_events(self) -> bool:
        """Return whether this sync reads the events of its deals."""
        return self.settings.deal_events and "deals" in self.datasets

    def walk(self, name: DatasetName, relations: tuple[RelationName, ...]) -> Walk:
        """Return the reader of a dataset; it requests `relations` while the account sends them."""
        pages = PageReader(
            self.client,
            self.settings.page_size,
            self.missing_values[name],
            relations,
            self.optional_relations[name],
        )
        return Walk(pages)


@contextmanager
def open_sync(
    settings: Settings,
    datasets: tuple[DatasetName, ...],
    *,
    accept_shrink: bool = False,
    holder: str,
    flow_run_id: str | None = None,
) -> Iterator[SyncContext]:
    """Take the lease and open the log row; close both at the end, also after an error.

    `holder` is the name that other syncs see in the lease. Raises LeaseHeld if another sync is
    running, and SchemaOutdated or SchemaTooNew.
    """
    spare_memory()
    with ExitStack() as stack:
        database = stack.enter_context(closing(open_database(settings)))
        require_current_schema(database)
        require_account(database, settings.account_name)
        limiter = RateLimiter(settings.rate_limit, read_pace(database))
        # Closed before the rest, so that threads which are still reading get an error.
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
            with ignore_signals():
                client.close()
                failed = DatasetResult(error=reason_of(error))
                _fail(database, sync, dict.fromkeys(datasets, failed), limiter)
            raise


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
