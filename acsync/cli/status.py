"""Print the status, for people or as JSON, and fail if the data is too old."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import typer
from rich.console import Console

from acsync.datasets import DatasetName
from acsync.errors import AcsyncError, sanitize
from acsync.settings import Settings, parse_duration
from acsync.store.database import open_database, require_current_schema
from acsync.store.sync_history import PublishedDataset, SyncStatus, read_status
from acsync.sync.report import sync_line


def run_status(console: Console, settings: Settings, as_json: bool, max_age: str | None) -> None:
    """Print the status; raises AcsyncError if a dataset is older than `max_age`."""
    limit = _read_duration(max_age) if max_age else None
    database = open_database(settings)
    require_current_schema(database)
    status = read_status(database)
    database.close()
    if as_json:
        sys.stdout.write(json.dumps(status.as_json(), indent=2) + "\n")
    else:
        _print_status(console, status, settings.datasets)
    if limit is not None:
        for name in settings.datasets:
            _require_fresh(name, status.published.get(name), limit)


def _require_fresh(name: DatasetName, published: PublishedDataset | None, limit: timedelta) -> None:
    """Raise AcsyncError if the oldest record of a dataset was read before `limit`."""
    if published is None:
        when = "never published"
    elif datetime.now(UTC) - published.read_from > limit:
        when = f"last read on {published.read_from:%Y-%m-%d at %H:%M:%S %Z}"
    else:
        return
    raise AcsyncError(f"The {name} were {when}.", "To see why, run: acsync status")


def _read_duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"--max-age {error}") from None


def _print_status(console: Console, status: SyncStatus, datasets: Sequence[DatasetName]) -> None:
    for name in datasets:
        if data := status.published.get(name):
            console.print(f"{name}: {data.record_count:,} records, as of {data.read_from:%F %T %Z}")
        else:
            console.print(f"{name}: nothing published yet")
    for warning in status.warnings:
        console.print(sanitize(f"warning: {warning}"), soft_wrap=True)
    if status.running:
        console.print(f"running: {status.running.sync_id}, since {status.running.started:%F %T %Z}")
    if status.recent:
        console.print("Last syncs, newest first:")
    for sync in status.recent:
        console.print(f"{sync.started:%F %T}  {sync_line(sync)}", soft_wrap=True)
