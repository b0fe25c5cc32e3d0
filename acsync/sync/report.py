"""Tell people what a sync did: a Markdown report, and the lines of a terminal."""

import re
from collections.abc import Iterator

from acsync.models import DatasetName, DatasetResult, SyncResult

SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|&~!:@$]|\.(?=\S)")
"""What means something to Markdown, to HTML, or to what makes links of addresses."""


def report_markdown(outcome: SyncResult) -> str:
    """Write the report that Prefect keeps as an artifact."""
    title = "complete" if outcome.success else "not complete"
    rows = [_markdown_row(name, dataset) for name, dataset in outcome.datasets.items()]
    reasons = [
        f"**{name} not published.** {_escape(dataset.error or '')}"
        for name, dataset in outcome.datasets.items()
        if not dataset.success
    ]
    return "\n\n".join(
        [
            f"# {outcome.sync_id}: {title}",
            "\n".join(
                [
                    "| dataset | records | added | updated | deleted | masked | seconds |",
                    "|---|--:|--:|--:|--:|--:|--:|",
                    *rows,
                ]
            ),
            *reasons,
            calls_line(outcome),
        ]
    )


def report_lines(outcome: SyncResult) -> Iterator[str]:
    """Say the same in a line a dataset."""
    for name, dataset in outcome.datasets.items():
        changes = dataset.changes
        if changes is None:
            yield f"{name}: not published. {dataset.error}"
        else:
            masked = f", {changes.masked:,} masked" if changes.masked else ""
            yield (
                f"{name}: {changes.records:,} records{masked}; {changes.added:,} added, "
                f"{changes.updated:,} updated, {changes.deleted:,} deleted"
            )
    yield calls_line(outcome)


def calls_line(outcome: SyncResult) -> str:
    """Say what the sync cost, and how much of the account's rate limit it used."""
    seconds = outcome.duration_ms / 1000
    calls = outcome.calls
    share = calls.calls / (outcome.rate_limit * seconds) if seconds else 0.0
    learned = f"; it allows about {calls.learned_rate:.1f}/s" if calls.learned_rate else ""
    cleaned = f"; {outcome.cleaned:,} characters removed" if outcome.cleaned else ""
    return (
        f"{calls.calls:,} calls in {seconds:,.1f} s, {share:.0%} of the rate limit of "
        f"{outcome.rate_limit:g}/s; {calls.retries:,} retries, {calls.rate_limited:,} refused "
        f"as too many{learned}{cleaned}"
    )


def _markdown_row(name: DatasetName, dataset: DatasetResult) -> str:
    changes = dataset.changes
    cells = (
        [changes.records, changes.added, changes.updated, changes.deleted, changes.masked]
        if changes
        else ["not published", "", "", "", ""]
    )
    shown = [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells]
    return f"| {name} | {' | '.join(shown)} | {dataset.duration_ms / 1000:,.1f} |"


def _escape(text: str) -> str:
    """Keep what the API sent from becoming Markdown, HTML, or a link to somewhere."""
    return SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)
