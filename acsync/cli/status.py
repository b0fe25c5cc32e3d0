"""Show the status payload to people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from acsync.errors import sanitize


def show_status(console: Console, payload: dict[str, Any]) -> None:
    """Print what is published, what runs, and the last syncs."""
    for name, data in payload["latestData"].items():
        if data:
            console.print(
                f"{name}: {data['recordCount']:,} records, as of {data['syncedAt']}",
                highlight=False,
            )
        else:
            console.print(f"{name}: nothing published yet", highlight=False)
    if running := payload["running"]:
        console.print(f"running: {running['sync_id']} since {running['started']}", highlight=False)
    table = Table("sync", "started", "seconds", "contacts", "deals", "result")
    for sync in payload["recentSyncs"]:
        seconds = (sync["total_duration_ms"] or 0) / 1000
        result = "complete" if sync["overall_success"] else _reason(sync)
        table.add_row(
            sync["sync_id"],
            sync["timestamp"],
            f"{seconds:,.1f}",
            _count(sync["contacts_count"]),
            _count(sync["deals_count"]),
            result,
        )
    console.print(table)


def _count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _reason(sync: dict[str, Any]) -> str:
    reasons = [sync["contacts_error"], sync["deals_error"]]
    return sanitize(" ".join(dict.fromkeys(reason for reason in reasons if reason))) or "running"
