"""Show how far a running sync is: bars on a terminal, a plain line now and then elsewhere."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from acsync.errors import AcsyncError
from acsync.models import DatasetName
from acsync.store.database import Database
from acsync.store.status import read_running

BAR_SECONDS = 1.0
LINE_SECONDS = 10.0


@contextmanager
def show_progress(console: Console, database: Database) -> Iterator[None]:
    """Follow the sync of this process through the database, until the block ends."""
    done = threading.Event()
    show = _show_bars if console.is_terminal else _print_lines
    watcher = threading.Thread(target=show, args=(console, database, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _show_bars(console: Console, database: Database, done: threading.Event) -> None:
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[DatasetName, TaskID] = {}
    with Progress(*columns, console=console, transient=True) as bars:
        while not done.wait(BAR_SECONDS):
            for name, records, expected in _read_progress(database):
                if name not in tasks:
                    tasks[name] = bars.add_task(name)
                bars.update(tasks[name], completed=records, total=expected)


def _print_lines(console: Console, database: Database, done: threading.Event) -> None:
    while not done.wait(LINE_SECONDS):
        for name, records, expected in _read_progress(database):
            console.print(f"{name}: {records:,} of {expected:,} records")


def _read_progress(database: Database) -> list[tuple[DatasetName, int, int]]:
    """Return records and expected records by dataset; nothing while no sync can be seen."""
    try:
        running = read_running(database)
    except AcsyncError:
        return []
    return [
        (name, min(dataset.records, dataset.expected), dataset.expected)
        for name, dataset in (running.progress if running else {}).items()
        if dataset.expected
    ]
