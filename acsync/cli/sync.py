"""Run the flow in this process and show its progress."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from acsync import logs
from acsync.cli.options import AccountName, console, database_of, warn_of_unknown_variables
from acsync.datasets import DatasetName
from acsync.errors import AcsyncError, SyncFailed
from acsync.settings import ACCOUNT, DATABASE, Settings
from acsync.spelling import spell_count

if TYPE_CHECKING:
    from acsync.results import SyncKind, SyncResult
    from acsync.store.database import Database
    from acsync.store.sync_history import SyncRecord

PREFECT_MISSED_IT = (
    "The sync ended, but Prefect's API does not answer, so Prefect still shows it as running. "
    "What it published is kept. Check the server of PREFECT_API_URL.\n"
)


def sync(
    only: Annotated[DatasetName | None, typer.Option(help="Copy only this dataset.")] = None,
    accept_shrink: Annotated[
        bool, typer.Option("--accept-shrink", help="Publish even if many records are gone.")
    ] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Read only what changed since the last sync.")
    ] = False,
    account: AccountName = None,
) -> None:
    """Run one sync now."""
    warn_of_unknown_variables()
    settings = database_of(account, DATABASE + ACCOUNT)
    for line in run_sync(console, settings, only, accept_shrink, account, incremental):
        console.print(line, soft_wrap=True)


def run_sync(
    console: Console,
    settings: Settings,
    only: DatasetName | None,
    accept_shrink: bool,
    account: str | None,
    incremental: bool = False,
) -> list[str]:
    """Run one sync and return its report; raises LeaseHeld, or AcsyncError if it failed."""
    from acsync.store.database import open_database, require_current_schema

    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup ignores it
        signal.signal(signal.SIGHUP, _end_once)
    with closing(open_database(settings)) as database:
        require_current_schema(database)
        return [*_run_flow(console, database, (only, accept_shrink, account, incremental))]


def _end_once(*_: object) -> None:
    """Treat SIGHUP as SIGTERM, so that the log row is closed; it may arrive several times."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.raise_signal(signal.SIGTERM)


def _run_flow(console: Console, database: "Database", parameters: Any) -> Iterable[str]:
    """Run the flow and return its report, from the sync log if Prefect went away."""
    # Prefect takes seconds to import. This part is small, and says what the user has to wait for.
    from flows.temporary_server import start_temporary_server

    start_temporary_server()
    from prefect import tags
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    from acsync.store.sync_history import read_recent_syncs
    from acsync.sync.report import report_lines
    from flows.automations import FULL_TAG, HEARTBEAT_SECONDS
    from flows.prefect_api import explain_errors, require_api
    from flows.reporting import prefect_is_away
    from flows.sync_activecampaign import sync_activecampaign

    require_api()
    kind: SyncKind = "incremental" if parameters[-1] else "full"
    before = {sync.sync_id for sync in read_recent_syncs(database, kind)}
    # acsync's automation marks a run without heartbeats as crashed, and Prefect's default interval
    # is too long for it. A temporary server has no automations.
    heartbeats = HEARTBEAT_SECONDS if PREFECT_API_URL.value() else None
    settings = temporary_settings(set_defaults={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: heartbeats})
    # The automations watch the runs with this tag.
    of_kind = tags(FULL_TAG) if kind == "full" else nullcontext()
    try:
        with explain_errors(), show_progress(console, database), settings, of_kind:
            state = sync_activecampaign(*parameters, return_state=True)
    except Exception:
        logged = _find_ended(database, before, kind)
        if logged is None and not prefect_is_away():
            raise
        return [logged_line(logged)]
    return report_lines(_result_of(state))


def _result_of(state: Any) -> "SyncResult":
    from acsync.results import SyncResult
    from flows.sync_activecampaign import TURNED_AWAY

    result = state.result(raise_on_failure=False)
    if state.name == TURNED_AWAY:
        raise result
    if not isinstance(result, SyncResult):
        raise result if isinstance(result, AcsyncError) else AcsyncError(state.message or "")
    return result


def _find_ended(database: "Database", before: set[str], kind: "SyncKind") -> "SyncRecord | None":
    """Return the newest ended sync of a kind that is not in `before`."""
    from acsync.store.sync_history import read_recent_syncs

    ended = (sync for sync in read_recent_syncs(database, kind) if sync.success is not None)
    return next((sync for sync in ended if sync.sync_id not in before), None)


def logged_line(sync: "SyncRecord | None") -> str:
    """Return the line of a sync whose result Prefect missed; raises AcsyncError if it failed."""
    if sync is None:
        raise AcsyncError(
            "Prefect's API does not answer, so the sync did not start or did not end.",
            "Check the server of PREFECT_API_URL. To see what was copied, run: acsync status",
        )
    from acsync.sync.report import sync_line

    logs.report(PREFECT_MISSED_IT.rstrip())
    if not sync.success:
        raise SyncFailed(sync_line(sync))
    return sync_line(sync)


BAR_SECONDS = 1.0
LINE_SECONDS = 10.0


@contextmanager
def show_progress(console: Console, database: "Database") -> Iterator[None]:
    """Show how far the running sync is, as the database knows it, until the block ends."""
    done = threading.Event()
    show = _show_bars if console.is_terminal else _print_lines
    watcher = threading.Thread(target=show, args=(console, database, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _show_bars(console: Console, database: "Database", done: threading.Event) -> None:
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
    )
    tasks: dict[DatasetName, TaskID] = {}
    with Progress(*columns, console=console, transient=True) as bars:
        while not done.wait(BAR_SECONDS):
            for name, records, expected in _read_progress(database):
                if name not in tasks:
                    tasks[name] = bars.add_task(name, total=expected)
                bars.update(tasks[name], completed=records, total=expected)


def _print_lines(console: Console, database: "Database", done: threading.Event) -> None:
    while not done.wait(LINE_SECONDS):
        for name, records, expected in _read_progress(database):
            console.print(f"{name}: {records:,} of {spell_count(expected, 'record')}")


def _read_progress(database: "Database") -> list[tuple[DatasetName, int, int]]:
    """Return dataset, records and expected records; empty if no running sync is known."""
    from acsync.store.sync_status import read_running

    try:
        running = read_running(database)
    except AcsyncError:
        return []
    return running.progress if running else []
