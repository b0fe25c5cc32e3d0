"""Run one sync per account at a time: the lease is a row that a heartbeat renews.

A session lock would not survive a pooler in transaction mode. Staging locks the row so that other
syncs wait but the heartbeat does not. Publishing locks out both.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Literal

from psycopg2.errors import LockNotAvailable
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from acsync.errors import AcsyncError, LeaseHeld, LeaseLost
from acsync.results import Sync, SyncKind, SyncProgress
from acsync.store.database import Database, run
from acsync.store.staging_tables import drop_useless
from acsync.store.sync_log import close_crashed, open_log

logger = logging.getLogger(__name__)

EXPIRES_SECONDS = 90
# Often, because each renewal also writes the progress that people watch.
RENEW_SECONDS = 2.0

# If the clock was ahead at the renewal, the lease must not stay alive for hours.
ALIVE = f"""
    sync_no is not null
    and renewed_at > clock_timestamp() - interval '{EXPIRES_SECONDS} seconds'
    and renewed_at < clock_timestamp() + interval '{EXPIRES_SECONDS} seconds'
"""


def start_sync(
    database: Database, holder: str, flow_run_id: str | None, kind: SyncKind = "full"
) -> Sync:
    """Take the lease, close the log rows of crashed syncs, and open a log row.

    `holder` tells others who runs this sync. Raises LeaseHeld while another sync renews its lease.
    A sync that has not renewed it for 90 seconds counts as crashed.
    """
    with database.begin() as connection:
        _end_crashed(connection)
        sync = open_log(connection, flow_run_id, kind)
        run(
            connection,
            """
            update {schema}.ac_lease
            set sync_no = :number, holder = :holder,
                acquired_at = clock_timestamp(), renewed_at = clock_timestamp(), progress = null
            where id = 1
            """,
            number=sync.number,
            holder=holder,
        )
        return sync


def _is_taken(connection: Connection) -> bool:
    """Lock the lease until the transaction ends; return whether a live sync holds it.

    If the lock times out, a sync that is publishing has it.
    """
    try:
        with connection.begin_nested():
            run(connection, "insert into {schema}.ac_lease (id) values (1) on conflict do nothing")
            sql = f"select {ALIVE} from {{schema}}.ac_lease where id = 1 for update"
            return bool(run(connection, sql).scalar_one())
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):
            return True
        raise


def _held_by(connection: Connection) -> LeaseHeld:
    # `acsync migrate` asks this of tables of earlier releases, which have no kind.
    lease = run(
        connection,
        """
        select log.sync_id, to_jsonb(log) ->> 'kind' as kind, lease.holder, lease.acquired_at
        from {schema}.ac_lease as lease join {schema}.ac_sync_logs as log on log.id = lease.sync_no
        where lease.id = 1
        """,
    ).one_or_none()
    if lease is None:
        return LeaseHeld("Another sync is starting right now.", "Try again when it has ended.")
    held = LeaseHeld(
        f"{lease.sync_id} has been running since {lease.acquired_at:%Y-%m-%d %H:%M:%S %Z}, started "
        f"by {lease.holder}.",
        "Wait until it ends; if it has crashed, its lease expires within two minutes.",
    )
    held.by_incremental = lease.kind == "incremental"
    return held


def require_no_sync(connection: Connection) -> None:
    """Raise LeaseHeld while a sync is running; none can start until the transaction ends."""
    if _is_taken(connection):
        raise _held_by(connection)


def _end_crashed(connection: Connection) -> None:
    """Clean up after crashed syncs; raise LeaseHeld while one is running."""
    require_no_sync(connection)
    close_crashed(connection)
    drop_useless(connection)


def take_from_frozen_sync(connection: Connection) -> None:
    """Make a sync that stopped renewing its lease lose it, so that it publishes nothing.

    Raises LeaseHeld while a sync is running; none can start until the transaction ends.
    """
    _end_crashed(connection)
    run(connection, "update {schema}.ac_lease set sync_no = null, holder = null where id = 1")


def require_lease(
    connection: Connection, sync: Sync, lock: Literal["update", "key share"] = "update"
) -> None:
    """Raise LeaseLost if another sync took over; prevent that until the transaction ends.

    An expired lease that nobody took still belongs to this sync. With `lock="key share"` the
    heartbeat and other threads of this sync can continue.
    """
    holding = run(
        connection, f"select sync_no from {{schema}}.ac_lease where id = 1 for {lock}"
    ).scalar_one_or_none()
    if holding != sync.number:
        raise LeaseLost(
            f"{sync.sync_id} lost its lease: it was not renewed for {EXPIRES_SECONDS} seconds and "
            "another sync took over. Nothing was published.",
            "See how the other sync ended with: acsync status",
        )


@contextmanager
def holding_lease(database: Database, sync: Sync) -> Iterator[Connection]:
    """Open a transaction in which no other sync takes over; raise LeaseLost if one has.

    The heartbeat and other threads of this sync can continue.
    """
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        yield connection


@contextmanager
def keep_lease(
    database: Database,
    sync: Sync,
    read_progress: Callable[[], SyncProgress | None] = lambda: None,
    renew_seconds: float = RENEW_SECONDS,
) -> Iterator[None]:
    """Renew the lease in a thread until the block ends, then release it.

    Each renewal also stores the progress that `read_progress` returns.
    """
    done = threading.Event()

    def beat() -> None:
        """Renew until done or lost; outages shorter than the expiry do no harm."""
        away = False
        while not done.wait(renew_seconds):
            try:
                if not _renew(database, sync, read_progress()):
                    return  # lost: staging and publishing will raise LeaseLost
                away = False
            except AcsyncError as error:
                if not away:
                    logger.warning("the lease of %s was not renewed: %s", sync.sync_id, error)
                away = True

    heartbeat = threading.Thread(target=beat, name="lease", daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        done.set()
        heartbeat.join()
        _release(database, sync)


def _renew(database: Database, sync: Sync, progress: SyncProgress | None) -> bool:
    with database.begin() as connection:
        renewed = run(
            connection,
            """
            update {schema}.ac_lease
            set renewed_at = clock_timestamp(), progress = cast(:progress as jsonb)
            where id = 1 and sync_no = :number
            """,
            number=sync.number,
            progress=json.dumps(asdict(progress)) if progress else None,
        )
        return renewed.rowcount == 1


def _release(database: Database, sync: Sync) -> None:
    """Release the lease if this sync still holds it; if that fails, it expires."""
    try:
        with database.begin() as connection:
            run(
                connection,
                "update {schema}.ac_lease set sync_no = null, holder = null "
                "where id = 1 and sync_no = :number",
                number=sync.number,
            )
    except AcsyncError as error:
        logger.warning("the lease of %s was not released and will expire: %s", sync.sync_id, error)
