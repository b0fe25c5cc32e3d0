"""Live through a day in forty minutes: 96 syncs, with what a day may bring between them.

Run it with `make soak`. The account changes all the time. Backups are taken, a worker is frozen,
and Postgres and Prefect's server are restarted in the middle of syncs. At the end the copy is
exact, nothing has grown, and no time without a complete sync was longer than two minutes and an
interval. All syncs but the frozen one run in one process, which is stricter than a worker's.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

import migrations
from acsync.settings import read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database, run
from acsync.store.embedded import pg_ctl, psql_command
from tests.support.churn import Churn
from tests.support.commands import ACSYNC
from tests.support.environment import own_environment
from tests.support.prefect_server import free_port, prefect_server
from tests.support.processes import wait_for
from tests.support.sync_results import compare_copy

SYNCS = 96
INTERVAL_SECONDS = 25
MOST_SECONDS_STUCK = 120
CALLS_PER_SECOND = 10
CHANGES_PER_SECOND = 20

# When something happens, by the number of the sync. Twenty syncs in a row at the beginning and at
# the end have only backups, so that growth shows.
BACKUP_EVERY = 8
PREFECT_RESTARTS = (35,)
FREEZES = (50,)
POSTGRES_CRASHES, POSTGRES_RESTARTS = (65,), (73,)

WARM_UP = 10  # syncs until caches, pools and the kept history are full
# The allocator keeps a little more with each sync until some sixty; more than this is a leak.
GROWTH = 1.2

VERSIONS = """
    select (select count(*) from {schema}.ac_contact_versions)
         + (select count(*) from {schema}.ac_deal_versions)
"""
STAGED = """
    select (select count(*) from {schema}.ac_staged_slices)
         + (select count(*) from {schema}.ac_staged_contacts)
"""


@dataclass(frozen=True)
class Usage:
    """What one sync leaves behind in this process and in Postgres."""

    memory_mb: int
    open_files: int
    threads: int
    connections: int
    staging_rows: int
    tables: int
    versions: int


class RestartablePrefect:
    """A server of Prefect that comes back at the same address."""

    def __init__(self, home: Path) -> None:
        self._home, self._port, self._running = home, free_port(), ExitStack()

    def start(self) -> str:
        """Start it, and return the URL of its API."""
        return self._running.enter_context(prefect_server(self._home, self._port))

    def stop(self) -> None:
        """Stop it."""
        self._running.close()

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()


def main() -> None:
    """Sync through a day; fail where something grows, stands still, or the copy is not exact."""
    account = Account(AccountOptions(contacts=2_000, deals=2_000, rate_limit=CALLS_PER_SECOND))
    with (
        serve(account) as url,
        own_environment(url, account.options.api_key, CALLS_PER_SECOND) as home,
        ExitStack() as stack,
    ):
        prefect = RestartablePrefect(home)
        stack.callback(prefect.stop)
        os.environ["PREFECT_API_URL"] = prefect.start()
        database = open_database(read_database_settings())
        stack.callback(database.close)
        migrations.upgrade(database)
        with Churn(account, CHANGES_PER_SECOND) as churn:
            usages, most_seconds = live(account, database, prefect)
        say(f"changed: {churn.made}")
        if not sync():
            sys.exit("The last sync failed.")
        comparisons = compare_copy(database, account)
    say(f"against the account: {comparisons}")
    say(f"longest time without a complete sync: {most_seconds:.0f} s")
    if not all(one.exact for one in comparisons.values()):
        sys.exit("The copy is not exact.")
    if most_seconds > INTERVAL_SECONDS + MOST_SECONDS_STUCK:
        sys.exit("That is too long.")
    require_no_growth(usages)


def live(
    account: Account, database: Database, prefect: RestartablePrefect
) -> tuple[list[Usage], float]:
    """Sync at every interval; return what each left behind, and the longest time without one."""
    usages: list[Usage] = []
    data_dir = read_database_settings().data_dir
    completed, most_seconds = time.monotonic(), 0.0
    backup: subprocess.Popen[bytes] | None = None
    for number in range(1, SYNCS + 1):
        due = time.monotonic() + INTERVAL_SECONDS
        if number % BACKUP_EVERY == 4:
            backup = begin_backup(data_dir)
        with ExitStack() as stack:
            if number in FREEZES:
                stack.enter_context(frozen_worker(account))
            if number in PREFECT_RESTARTS:
                stack.enter_context(in_mid_sync(account, prefect.restart))
            if number in POSTGRES_CRASHES:
                stack.enter_context(in_mid_sync(account, restart_postgres(data_dir, "immediate")))
            if number in POSTGRES_RESTARTS:
                stack.enter_context(in_mid_sync(account, restart_postgres(data_dir, "fast")))
            tries = 1
            while not sync():
                tries += 1
                time.sleep(1)
        now = time.monotonic()
        completed, most_seconds = now, max(most_seconds, now - completed)
        usages.append(measure(database))
        say(f"{number}: {now - due + INTERVAL_SECONDS:.1f} s, tries: {tries}, {asdict(usages[-1])}")
        if backup and number % BACKUP_EVERY == 6:
            end_backup(backup)
            backup = None
        time.sleep(max(0.0, due - time.monotonic()))
    return usages, most_seconds


def sync() -> bool:
    """Run the flow in this process; return whether it copied everything."""
    from flows.sync_activecampaign import sync_activecampaign  # noqa: PLC0415  # after the settings

    try:
        state = sync_activecampaign(return_state=True)
    except Exception as error:  # noqa: BLE001  # Prefect's server may be away
        say(f"   {type(error).__name__}: {error}")
        return False
    if state.name != "Completed":
        say(f"   {state.name}: {(state.message or '').splitlines()[0]}")
    return bool(state.name == "Completed")


def begin_backup(data_dir: Path) -> "subprocess.Popen[bytes]":
    """Start a `pg_dump` whose output nobody takes yet, so that it keeps its locks."""
    psql, *where = shlex.split(psql_command(data_dir))
    command = [str(Path(psql).with_name("pg_dump")), *where]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def end_backup(backup: "subprocess.Popen[bytes]") -> None:
    """Take the output, which must be a whole dump."""
    dump, _ = backup.communicate()
    if backup.returncode or b"PostgreSQL database dump complete" not in dump:
        sys.exit(f"The backup failed with {backup.returncode}.")


@contextmanager
def frozen_worker(account: Account) -> Iterator[None]:
    """Freeze another worker in the middle of its sync, and thaw it at the end of the block."""
    calls = len(account.statistics.log)
    worker = subprocess.Popen([*ACSYNC, "sync"], stderr=subprocess.PIPE)
    wait_for("a sync in progress", lambda: len(account.statistics.log) > calls + 20)
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGCONT)
        _, said = worker.communicate()
        say(f"   the frozen worker ended with {worker.returncode}: {said.decode()[-300:]}")
    if worker.returncode == 0:
        sys.exit("The frozen worker took its sync for a success.")


@contextmanager
def in_mid_sync(account: Account, strike: Callable[[], None]) -> Iterator[None]:
    """Strike once, when the block has made some calls to the account."""
    calls = len(account.statistics.log)

    def wait_and_strike() -> None:
        wait_for("a sync in progress", lambda: len(account.statistics.log) > calls + 20)
        strike()

    thread = threading.Thread(target=wait_and_strike)
    thread.start()
    yield
    thread.join()


def restart_postgres(data_dir: Path, mode: str) -> Callable[[], None]:
    """Return what restarts Postgres: `fast` as an upgrade does, `immediate` as a crash does."""
    return lambda: pg_ctl(data_dir, "-m", mode, "restart")


def measure(database: Database) -> Usage:
    """Look at this process and at Postgres."""
    process = psutil.Process()
    with database.begin() as connection:

        def count(sql: str) -> int:
            number: int = run(connection, sql).scalar_one()
            return number

        return Usage(
            round(process.memory_info().rss / 1e6),
            process.num_fds(),
            process.num_threads(),
            count("select count(*) from pg_stat_activity where datname = current_database()"),
            count(STAGED),
            count("select count(*) from pg_class where relkind in ('r', 'i', 't')"),
            count(VERSIONS),
        )


def require_no_growth(usages: list[Usage]) -> None:
    """Compare the worst of the last ten syncs with the worst of those after the warm-up."""
    early, late = usages[WARM_UP : 2 * WARM_UP], usages[-WARM_UP:]
    for name in asdict(usages[0]):
        before = max(getattr(usage, name) for usage in early)
        after = max(getattr(usage, name) for usage in late)
        if after > before * GROWTH:
            sys.exit(f"{name} grew from {before} to {after}.")


def say(line: str) -> None:
    """Print at once, for whoever watches."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
