"""Run everything on this machine until Ctrl-C, and print a line for each sync."""

import os
import time
from collections.abc import Iterator
from contextlib import closing

from rich.console import Console

import migrations
from acsync import logs
from acsync.errors import StoreError
from acsync.local.embedded_postgres import (
    is_running,
    psql_command,
    stop_embedded,
    with_database_url,
)
from acsync.local.environment import HOST, Local, choose_local
from acsync.local.processes import Processes, ignore_signals
from acsync.settings import Settings
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database, open_database
from acsync.store.sync_history import SyncRecord, read_recent_syncs
from acsync.sync.report import sync_line

LOOK_SECONDS = 1.0


def run_up(console: Console, port: int, web_port: int | None, options: AccountOptions) -> None:
    """Run until a signal; raises SettingsError before the start, or AcsyncError after it.

    `options` describe the account to simulate if no credentials are set.
    """
    # Only this user may read the logs, and Prefect's database with its encryption key.
    os.umask(0o077)
    local = choose_local(port, web_port, options)
    had_postgres = _uses_running_postgres(local.database)
    processes = Processes(local.database.data_dir / "logs", local.environment)
    try:
        processes.stop_on_signals()
        _run(console, processes, local)
    except BaseException:
        if not processes.is_stopped:
            raise
        console.print("Stopping the running sync, then everything else …")
    finally:
        ignore_signals()
        processes.end()
        if not had_postgres and _uses_running_postgres(local.database):
            stop_embedded(local.database.data_dir)


def _run(console: Console, processes: Processes, local: Local) -> None:
    """Start the programs in turn, then print a line for each sync that ends."""
    console.print(f"Starting everything for {local.account} …", soft_wrap=True)
    for program in local.programs:
        processes.start(program)
    # Importing Prefect takes seconds, in which its server starts.
    from acsync.local import prefect_server  # noqa: PLC0415

    with (
        closing(open_database(with_database_url(local.database))) as database,
        prefect_server.use_api(local.environment),
    ):
        migrations.upgrade(database)
        prefect_server.wait_for_api(processes)
        deployment_id = prefect_server.deploy_here(database)
        prefect_server.start_due_run(deployment_id, database, local.simulated)
        processes.start(local.web)
        processes.start(prefect_server.WORKER)
        console.print(f"Dashboard:  http://{HOST}:{local.web_port}", soft_wrap=True)
        for line in prefect_server.where_to_look(deployment_id, local.secret_file):
            console.print(line, soft_wrap=True)
        console.print(f"To query:\n  {_how_to_query(local.database)}", soft_wrap=True)
        console.print("Ctrl-C stops everything. Syncs, as they end:")
        for sync in _follow_syncs(processes, database):
            console.print(sync_line(sync), soft_wrap=True)


def _how_to_query(settings: Settings) -> str:
    if settings.database_url:
        return f"the views ac_contacts, ac_deals and others in the schema {settings.schema_name}"
    return psql_command(settings.data_dir)


def _uses_running_postgres(settings: Settings) -> bool:
    """Return whether the embedded Postgres is used and runs: one that ran before us stays."""
    return settings.database_url is None and is_running(settings.data_dir)


def _follow_syncs(processes: Processes, database: Database) -> Iterator[SyncRecord]:
    """Yield each sync that ends from now on; raises AcsyncError if a process exits."""
    seen, is_away = {sync.sync_id for sync in _ended_syncs(database)}, False
    while True:
        time.sleep(LOOK_SECONDS)
        processes.require_alive()
        try:
            ended = _ended_syncs(database)
        except StoreError as error:
            # The user's own Postgres may restart. The syncs survive that, so report it once.
            if not is_away:
                logs.report(error)
            is_away = True
            continue
        is_away = False
        yield from (sync for sync in ended if sync.sync_id not in seen)
        seen |= {sync.sync_id for sync in ended}


def _ended_syncs(database: Database) -> list[SyncRecord]:
    """Return the last syncs that ended, oldest first."""
    recent = read_recent_syncs(database)
    return [sync for sync in reversed(recent) if sync.success is not None]
