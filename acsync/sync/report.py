"""The report of a sync, as Markdown and as lines for a terminal."""

import re
from collections.abc import Iterator
from dataclasses import astuple

from acsync.datasets import DatasetName
from acsync.errors import sanitize
from acsync.models import DatasetResult, FieldChange, SyncResult
from acsync.store.sync_history import SyncRecord

# Characters with a meaning in Markdown or HTML, and those that turn an address into a link.
SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|&~!:@$]|\.(?=\S)")

FIELD_CHANGES = {
    "new": "that are new",
    "renamed": "that have another name",
    "retyped": "that have another type, and a column for it",
    "back": "that are back",
    "vanished": "that are gone; their columns stay",
}


def report_markdown(result: SyncResult) -> str:
    """Return the report that Prefect keeps as an artifact."""
    title = "complete" if result.success else "not complete"
    rows = [_markdown_row(name, dataset) for name, dataset in result.datasets.items()]
    reasons = [
        f"**{name} not published.** {_escape(dataset.error or '')}"
        for name, dataset in result.datasets.items()
        if not dataset.success
    ]
    table = [
        "| dataset | records | added | updated | deleted | masked | refreshed "
        "| versions dropped | seconds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
    ]
    warnings = [f"Warning: {_escape(text)}" for text in warnings_of(result)]
    fields = [_escape(line) for line in field_lines(result)]
    heading = f"# {result.sync_id}: {title}"
    return "\n\n".join(
        [heading, "\n".join(table), *reasons, *warnings, *fields, calls_line(result)]
    )


def report_lines(result: SyncResult) -> Iterator[str]:
    """Yield one line per dataset and per warning, and a line about the calls."""
    for name, dataset in result.datasets.items():
        changes = dataset.changes
        if changes is None:
            yield f"{name}: not published. {dataset.error}"
        else:
            masked = f", {changes.masked:,} masked" if changes.masked else ""
            refreshed = f", {changes.refreshed:,} refreshed" if changes.refreshed else ""
            dropped = f"; {changes.dropped:,} old versions dropped" if changes.dropped else ""
            yield (
                f"{name}: {changes.records:,} records{masked}; {changes.added:,} added, "
                f"{changes.updated:,} updated, {changes.deleted:,} deleted{refreshed}{dropped}"
            )
    yield from (f"warning: {text}" for text in warnings_of(result))
    yield from field_lines(result)
    yield calls_line(result)


def field_lines(result: SyncResult) -> list[str]:
    """Return one line per dataset and kind of change of its custom fields."""
    return [
        f"{name}: custom fields {FIELD_CHANGES[kind]}: {'; '.join(map(_describe_field, changes))}"
        for name, dataset in result.datasets.items()
        for kind in FIELD_CHANGES
        if (changes := [change for change in dataset.fields if change.kind == kind])
    ]


def _describe_field(change: FieldChange) -> str:
    field = change.field
    name = sanitize(f"{field.title or field.key} ({field.type or 'no type'})")
    return f"{name} in {change.column}" if change.column else f"{name}, without a column"


def warnings_of(result: SyncResult) -> list[str]:
    """Return the warnings of all datasets, each once."""
    datasets = result.datasets.values()
    return list(dict.fromkeys(text for dataset in datasets for text in dataset.warnings))


def calls_line(result: SyncResult) -> str:
    """Return the calls and seconds of the sync, and its share of the account's rate limit."""
    seconds = result.duration_ms / 1000
    calls = result.calls
    share = calls.calls / (result.rate_limit * seconds) if seconds else 0.0
    learned = f"; it allows about {result.learned_rate:.1f}/s" if result.learned_rate else ""
    cleaned = f"; {result.cleaned:,} characters removed" if result.cleaned else ""
    return (
        f"{calls.calls:,} calls in {seconds:,.1f} s, {share:.0%} of the rate limit of "
        f"{result.rate_limit:g}/s; {calls.retries:,} retries, {calls.rate_limited:,} refused "
        f"as too many{learned}{cleaned}"
    )


def sync_line(sync: SyncRecord) -> str:
    """Return one line on how a sync went."""
    if sync.success is None:
        return f"{sync.sync_id}: running"
    result = "complete" if sync.success else "not complete"
    seconds = (sync.duration_ms or 0) / 1000
    parts = [
        f"{dataset.count or 0:,} {name}" if dataset.success else f"{name}: {dataset.error}"
        for name, dataset in sync.datasets.items()
    ]
    return sanitize(f"{sync.sync_id}: {result} after {seconds:,.1f} s; {'; '.join(parts)}")


def _markdown_row(name: DatasetName, dataset: DatasetResult) -> str:
    changes = dataset.changes
    if changes is None:
        return f"| {name} | not published | | | | | | | |"
    counts = astuple(changes)
    seconds = (dataset.duration_ms or 0) / 1000
    return f"| {name} | {' | '.join(f'{count:,}' for count in counts)} | {seconds:,.1f} |"


def _escape(text: str) -> str:
    """Escape text from the API, so that it cannot act as Markdown, HTML or a link."""
    return SPECIAL.sub(lambda match: f"&#{ord(match[0])};", text)
