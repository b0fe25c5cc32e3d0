"""Disturb the syncs of the soak: faults and rivals that a production account meets."""

import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from acsync.datasets import DatasetName
from acsync.local.embedded_postgres import pg_ctl, psql_command
from acsync.simulator.account import Account
from acsync.simulator.fault_injection import FAULTS
from acsync.store.database import Database, run
from tests.support.commands import ACSYNC, wait_for
from tests.support.prefect_server import free_port, prefect_server

CALLS_BEFORE_STRIKE = 20

REFUSE = """
    create or replace function {schema}.soak_refuse() returns trigger language plpgsql as $$
    begin
        raise check_violation using message = 'refused by the soak';
    end $$;
    create trigger soak_refuse before insert on {versions}
        for each row when (new.record_id % 7 = 0) execute function {schema}.soak_refuse();
"""
ACCEPT = "drop trigger soak_refuse on {versions}"


@dataclass(frozen=True)
class Disturbance:
    """A fault that lasts for some rounds of the soak, one sync per round.

    `start` is called in each of them. `refused` is the dataset that Postgres then refuses.
    """

    name: str
    start: Callable[[], AbstractContextManager[None]]
    rounds: int = 1
    refused: DatasetName | None = None


class RestartablePrefect:
    """A Prefect server that keeps its address when it restarts."""

    def __init__(self, home: Path) -> None:
        self._home, self._port, self._running = home, free_port(), ExitStack()

    def start(self) -> str:
        """Start the server and return the URL of its API."""
        return self._running.enter_context(prefect_server(self._home, self._port))

    def stop(self) -> None:
        """Stop the server."""
        self._running.close()

    def restart(self) -> None:
        """Stop and start the server."""
        self.stop()
        self.start()


def list_disturbances(
    account: Account, database: Database, data_dir: Path, prefect: RestartablePrefect
) -> tuple[Disturbance, ...]:
    """Return all disturbances in the order in which they happen."""

    def restart_postgres(mode: Literal["fast", "immediate"]) -> None:
        pg_ctl(data_dir, "-m", mode, "restart")

    return (
        Disturbance("refused-contacts", lambda: refusal(database, "contacts"), 2, "contacts"),
        Disturbance("rival", lambda: rival(account), rounds=3),
        Disturbance("prefect-restart", lambda: in_mid_sync(account, prefect.restart)),
        Disturbance("refused-deals", lambda: refusal(database, "deals"), 2, "deals"),
        Disturbance("frozen-worker", lambda: frozen_worker(account)),
        Disturbance(
            "postgres-crash", lambda: in_mid_sync(account, lambda: restart_postgres("immediate"))
        ),
        Disturbance(
            "postgres-restart", lambda: in_mid_sync(account, lambda: restart_postgres("fast"))
        ),
    )


@contextmanager
def refusal(database: Database, dataset: DatasetName) -> Iterator[None]:
    """Let Postgres refuse every seventh new version of a dataset, as a user's trigger may."""
    with database.begin() as connection:
        run(connection, REFUSE, dataset)
    try:
        yield
    finally:
        with database.begin() as connection:
            run(connection, ACCEPT, dataset)


@contextmanager
def rival(account: Account) -> Iterator[None]:
    """Let another program take a fifth of the calls, each of which is then answered with 429."""
    account.faults.add(*FAULTS["shared-budget"])
    try:
        yield
    finally:
        account.faults.clear()


@contextmanager
def backup(data_dir: Path) -> Iterator[None]:
    """Keep the locks of a `pg_dump` until the block ends; its dump must be complete."""
    psql, *options = shlex.split(psql_command(data_dir))
    command = [str(Path(psql).with_name("pg_dump")), *options]
    # It waits as soon as the pipe is full, and keeps its locks.
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        yield
    finally:
        dump, _ = process.communicate()
    if process.returncode or b"PostgreSQL database dump complete" not in dump:
        sys.exit(f"The backup failed with {process.returncode}.")


@contextmanager
def frozen_worker(account: Account) -> Iterator[None]:
    """Freeze another worker in the middle of its sync, and thaw it when the block ends."""
    calls = len(account.statistics.log)
    worker = subprocess.Popen([*ACSYNC, "sync"], stderr=subprocess.PIPE)
    _wait_for_calls(account, calls)
    worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.send_signal(signal.SIGCONT)
        _, errors = worker.communicate()
    if worker.returncode == 0:
        sys.exit(f"The frozen worker reported success: {errors.decode()[-300:]}")


@contextmanager
def in_mid_sync(account: Account, strike: Callable[[], None]) -> Iterator[None]:
    """Strike once, after the block has made some calls to the account."""
    calls, struck = len(account.statistics.log), threading.Event()

    def wait_and_strike() -> None:
        _wait_for_calls(account, calls)
        strike()
        struck.set()

    thread = threading.Thread(target=wait_and_strike)
    thread.start()
    yield
    thread.join()
    if not struck.is_set():
        sys.exit("The strike in the middle of a sync failed.")


def _wait_for_calls(account: Account, before: int) -> None:
    wait_for(
        "a sync in progress",
        lambda: len(account.statistics.log) > before + CALLS_BEFORE_STRIKE,
    )
