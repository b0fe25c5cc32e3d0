"""Tell of each sync as it ends, from the log table."""

import sys
import time
from typing import Any

from rich.console import Console

from acsync.cli.children import Children
from acsync.cli.demo import print_plain
from acsync.errors import StoreError, sanitize
from acsync.models import DATASETS
from acsync.store.database import Database
from acsync.store.status import read_status

LOOK_SECONDS = 1.0


def follow_syncs(console: Console, children: Children, database: Database) -> None:
    """Print a line for each sync that ends, until a child does or a signal comes."""
    told, away = set(_ended_syncs(database)), False
    while True:
        time.sleep(LOOK_SECONDS)
        children.require_alive()
        try:
            ended = _ended_syncs(database)
        except StoreError as error:
            # A Postgres of the user's may restart; the syncs themselves cope with that.
            if not away:
                sys.stderr.write(f"{error}\n")
            away = True
            continue
        away = False
        for sync_id, sync in ended.items():
            if sync_id not in told:
                print_plain(console, _sync_line(sync))
        told |= set(ended)


def _ended_syncs(database: Database) -> dict[str, dict[str, Any]]:
    """Give the last syncs that ended, the oldest first, by their ids."""
    recent = read_status(database)["recentSyncs"]
    return {
        sync["sync_id"]: sync for sync in reversed(recent) if sync["overall_success"] is not None
    }


def _sync_line(sync: dict[str, Any]) -> str:
    """Say how a sync ended."""
    result = "complete" if sync["overall_success"] else "not complete"
    parts = [
        f"{sync[f'{name}_count']:,} {name}"
        if sync[f"{name}_success"]
        else f"{name}: {sync[f'{name}_error']}"
        for name in DATASETS
        if sync[f"{name}_success"] is not None
    ]
    seconds = (sync["total_duration_ms"] or 0) / 1000
    return sanitize(f"{sync['sync_id']}: {result} after {seconds:,.1f} s; {'; '.join(parts)}")
