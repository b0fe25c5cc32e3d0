"""Show how far a running sync is: bars on a terminal, a plain line now and then elsewhere."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from acsync.errors import AcsyncError
from acsync.settings import DatabaseSettings
from acsync.store.database import Database, open_database
from acsync.store.status import read_status

LOOK_SECONDS = 0.5
PLAIN_SECONDS = 10.0


@contextmanager
def watch_progress(console: Console, settings: DatabaseSettings) -> Iterator[None]:
    """Follow the sync of this process through the database, as the status API does."""
    done = threading.Event()
    database = open_database(settings)
    show = _show_bars if console.is_terminal else _print_lines
    watcher = threading.Thread(target=show, args=(console, database, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        database.close()


def _read_running(database: Database) -> dict[str, dict[str, int]]:
    """Give records and expected records by dataset; nothing while no sync can be seen."""
    try:
        running: dict[str, Any] | None = read_status(database)["running"]
    except AcsyncError:
        return {}
    return running["progress"] if running else {}


def _follow(
    database: Database, done: threading.Event, seconds: float, show: Callable[..., None]
) -> None:
    while not done.wait(seconds):
        for name, progress in _read_running(database).items():
            if progress["expected"]:
                show(name, min(progress["records"], progress["expected"]), progress["expected"])


def _show_bars(console: Console, database: Database, done: threading.Event) -> None:
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(name: str, records: int, expected: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=records, total=expected)

        _follow(database, done, LOOK_SECONDS, show)


def _print_lines(console: Console, database: Database, done: threading.Event) -> None:
    def show(name: str, records: int, expected: int) -> None:
        console.print(f"{name}: {records:,} of {expected:,} records", highlight=False)

    _follow(database, done, PLAIN_SECONDS, show)
