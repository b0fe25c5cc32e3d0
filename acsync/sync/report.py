"""The report of a sync, as Markdown and as lines for a terminal."""

import re
from collections.abc import Iterator
from dataclasses import astuple

from acsync.datasets import DatasetName
from acsync.errors import sanitize
from acsync.results import DatasetResult, FieldChange, Recall, SyncResult, group_errors
from acsync.spelling import spell_count
from acsync.store.sync_history import SyncRecord
from acsync.sync.readers import LEAST_READERS

# Characters with a meaning in Markdown or HTML, and those that turn an address into a link.
SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|&~!:@$]|\.(?=\S)")

# The first sentence of an error says what happened, the others what to do.
SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")

# At this share of the limit, the limit is the bound.
FULL_SHARE = 0.8
# Missed changes that moved the date of a record: an incremental sync could have seen them.
DATED = ("dated", "new")

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
        f"**{names} not published.** {_escape(reason)}" for reason, names in _failures(result)
    ]
    table = [
        "| dataset | records | added | updated | deleted | masked | refreshed "
        "| versions dropped | seconds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
    ]
    warnings = [f"Warning: {_escape(text)}" for text in warnings_of(result)]
    fields = [_escape(line) for line in (*field_lines(result), *recall_lines(result))]
    heading = f"# {result.sync_id}: {title}"
    events = [_escape(line) for line in event_lines(result)]
    return "\n\n".join(
        [
            heading,
            "\n".join(table),
            *events,
            *reasons,
            *warnings,
            *fields,
            calls_line(result),
            *slowness_lines(result),
        ]
    )


def report_summary(result: SyncResult) -> str:
    """Return the records of each dataset, or why it was not published, as Markdown."""
    counts = [
        spell_count(dataset.changes.records, name.removesuffix("s"))
        for name, dataset in result.datasets.items()
        if dataset.changes
    ]
    reasons = [f"{names} not published: {_escape(reason)}" for reason, names in _failures(result)]
    return "; ".join([*counts, *reasons])


def report_lines(result: SyncResult) -> Iterator[str]:
    """Yield one line per dataset, reason and warning, and a line about the calls."""
    for name, dataset in result.datasets.items():
        if changes := dataset.changes:
            masked = f", {changes.masked:,} masked" if changes.masked else ""
            refreshed = f", {changes.refreshed:,} refreshed" if changes.refreshed else ""
            old = spell_count(changes.dropped, "old version")
            dropped = f"; {old} dropped" if changes.dropped else ""
            yield (
                f"{name}: {spell_count(changes.records, 'record')}{masked}; "
                f"{changes.added:,} added, "
                f"{changes.updated:,} updated, {changes.deleted:,} deleted{refreshed}{dropped}"
            )
    yield from event_lines(result)
    yield from (f"{names}: not published. {reason}" for reason, names in _failures(result))
    yield from (f"warning: {text}" for text in warnings_of(result))
    yield from field_lines(result)
    yield from recall_lines(result)
    yield calls_line(result)
    yield from slowness_lines(result)


def recall_lines(result: SyncResult) -> Iterator[str]:
    """Yield one line per dataset on what incremental syncs saw and missed."""
    for name, dataset in result.datasets.items():
        if (recall := dataset.recall) and (line := describe_recall(recall)):
            yield f"{name}: {line}"


def describe_recall(recall: Recall) -> str:
    """Return what incremental syncs saw and missed, or nothing if nothing changed."""
    dated = sum(recall.missed.get(kind, 0) for kind in DATED)
    undated = {kind: count for kind, count in recall.missed.items() if kind not in DATED}
    total = recall.seen + sum(recall.missed.values())
    if not total:
        return ""
    text = f"incremental syncs saw {recall.seen:,} of {total:,} changes since the last full sync"
    if undated:
        parts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(undated.items()))
        text += f"; {sum(undated.values()):,} moved no date ({parts})"
    return f"{text}; {dated:,} were missed" if dated else text


def event_lines(result: SyncResult) -> list[str]:
    """Return a line about the deals' events if the sync read them, and how far it came."""
    events = result.events
    if events is None or not events.total:
        return []
    line = f"deal_events: {events.stored:,} stored, {events.new:,} new"
    if events.complete_at:
        return [line]
    percent = min(100 * events.read // events.total, 99)
    return [
        f"{line}; {percent} % of about {events.total:,} activities read. Times of earlier stages "
        "follow when all are read"
    ]


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
    """Return the calls and seconds of the sync, and its rate next to the limit."""
    seconds = result.duration_ms / 1000
    calls = result.calls
    rate = calls.calls / seconds if seconds else 0.0
    learned = (
        f"; the account allows about {result.learned_rate:.1f} per second"
        if result.learned_rate
        else ""
    )
    removed = spell_count(result.cleaned, "NUL character")
    cleaned = f"; {removed} removed, which Postgres cannot store" if result.cleaned else ""
    return (
        f"{spell_count(calls.calls, 'call')} in {seconds:,.1f} s ({rate:.1f} per second, "
        f"limit {result.rate_limit:g}), {calls.retries:,} repeated, {calls.rate_limited:,} refused "
        f"as too many{learned}{cleaned}"
    )


def slowness_lines(result: SyncResult) -> list[str]:
    """Say so if the account's answers were the bound, and not its limit."""
    limit = result.learned_rate or result.rate_limit
    seconds = result.duration_ms / 1000 - result.publishing_seconds
    rate = result.calls.calls / max(seconds, 0.001)
    needs_more = result.answer_seconds * limit > LEAST_READERS
    if rate > FULL_SHARE * limit or not needs_more:
        return []
    return [
        f"calls took {result.answer_seconds:.1f} s on average, so there were {rate:.1f} of "
        f"{limit:g} per second: the account's answers were the bound, not its limit"
    ]


def sync_line(sync: SyncRecord, is_short: bool = False) -> str:
    """Return one line on how a sync went; if it is short, without advice."""
    if sync.success is None:
        return f"{sync.sync_id}: running"
    result = "complete" if sync.success else "not complete"
    seconds = (sync.duration_ms or 0) / 1000
    counts = [
        f"{dataset.count or 0:,} {name}"
        for name, dataset in sync.datasets.items()
        if dataset.success
    ]
    parts = "; ".join([*counts, *error_lines(sync, is_short)])
    return sanitize(f"{sync.sync_id}: {result} after {seconds:,.1f} s; {parts}")


def error_lines(sync: SyncRecord, is_short: bool) -> list[str]:
    """Return each error of a sync once, with its datasets; if short, only the first sentence."""
    errors = {
        name: SENTENCE_END.split(error)[0].rstrip(".") if is_short else error
        for name, error in sync.errors.items()
    }
    return [f"{names}: {text}" for text, names in group_errors(errors)]


def _failures(result: SyncResult) -> list[tuple[str, str]]:
    """Return each reason once, with the datasets that were not published because of it."""
    failed = {name: data.error or "" for name, data in result.datasets.items() if not data.success}
    return group_errors(failed)


def advice(sync: SyncRecord) -> str:
    """Return what the errors of a sync say after their first sentences, each sentence once."""
    errors = sync.errors.values()
    sentences = [sentence for error in errors for sentence in SENTENCE_END.split(error)[1:]]
    return sanitize(" ".join(dict.fromkeys(sentences)))


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
