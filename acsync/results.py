"""How a sync runs, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from acsync.datasets import DatasetName, RelationName
from acsync.readings import Warnings

# A full sync reads everything; an incremental one reads what changed since the last sync.
SyncKind: TypeAlias = Literal["full", "incremental"]


@dataclass(frozen=True)
class Sync:
    """A sync that holds the lease; `number` orders syncs and marks the versions they made."""

    number: int
    sync_id: str
    started_at: datetime
    kind: SyncKind = "full"


@dataclass(frozen=True)
class CallCounts:
    """The calls of one sync. Every attempt is a call, so `calls` includes the other two."""

    calls: int = 0
    retries: int = 0
    rate_limited: int = 0


@dataclass(frozen=True)
class EventsResult:
    """The reading of deal events in one sync: new and stored events, activities read of a total.

    Every event from before `complete_at` is stored; None if the first reading is not complete.
    """

    new: int = 0
    stored: int = 0
    read: int = 0
    total: int = 0
    complete_at: datetime | None = None
    warnings: Warnings = ()


@dataclass(frozen=True)
class SyncProgress:
    """How far a running sync is: records staged by dataset, and calls so far.

    `calls_per_second` is the rate of the last few seconds. `seconds_left` is known only while
    records are copied.
    """

    phase: str
    records: Mapping[DatasetName, int] = field(default_factory=dict)
    calls: int = 0
    rate_limited: int = 0
    calls_per_second: float = 0.0
    seconds_left: int | None = None


@dataclass(frozen=True)
class CustomField:
    """One custom field as the account defines it; `key` is the key of its values in a record.

    `options` are its choices as values have them, and `labels` as people see them.
    """

    field_id: str
    key: str
    title: str | None
    type: str
    options: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class FieldChange:
    """A change of a custom field since the last sync.

    A `retyped` field has a new column for its new type, and keeps the old one. `column` is None if
    the view has no room for another column.
    """

    kind: Literal["new", "renamed", "retyped", "back", "vanished"]
    field: CustomField
    column: str | None


@dataclass(frozen=True)
class Changes:
    """The numbers of records that publishing changed; `masked` of the `records` are stubs.

    `refreshed` records have the same content as before, with other names or counters. `dropped` is
    the number of versions that are no longer kept.
    """

    records: int
    added: int
    updated: int
    deleted: int
    masked: int
    refreshed: int = 0
    dropped: int = 0

    @property
    def is_any(self) -> bool:
        """Return whether a record was added, updated, deleted or refreshed."""
        return bool(self.added or self.updated or self.deleted or self.refreshed)


@dataclass(frozen=True)
class Recall:
    """How many changes incremental syncs `seen` since the last full sync, and what they missed.

    `missed` counts changes by what changed: `tags`, `lists`, `custom fields` or `other` if the date
    of the record did not move, `dated` if it moved, `new` for a new record.
    """

    seen: int
    missed: Mapping[str, int]


@dataclass(frozen=True)
class DatasetResult:
    """One dataset of one sync: its `changes`, or the `error` if it was not published.

    `duration_ms` is the time from the plan to the proof that no record is missing. The log does not
    keep `fields`. A full sync has a `recall` if incremental syncs were published before it. The
    relations that it `left_out` did not come, and stay as they were last known.
    """

    duration_ms: int | None = None
    changes: Changes | None = None
    error: str | None = None
    warnings: Warnings = ()
    fields: tuple[FieldChange, ...] = ()
    recall: Recall | None = None
    left_out: tuple[RelationName, ...] = ()

    @property
    def success(self) -> bool:
        """Return whether the dataset was published."""
        return self.changes is not None

    @property
    def count(self) -> int | None:
        """Return the number of published records, if the dataset was published."""
        return self.changes.records if self.changes else None


@dataclass(frozen=True)
class SyncResult:
    """One finished sync; rates in calls per second, `cleaned` in characters.

    `learned_rate` is the rate that the account allows, or None if it allows `rate_limit`. A call
    was answered after `answer_seconds` on average, and the last `publishing_seconds` had no calls.
    """

    sync_id: str
    account: str
    started_at: datetime
    duration_ms: int
    rate_limit: float
    learned_rate: float | None
    calls: CallCounts
    cleaned: int = 0
    datasets: Mapping[DatasetName, DatasetResult] = field(default_factory=dict)
    answer_seconds: float = 0.0
    events: EventsResult | None = None
    publishing_seconds: float = 0.0

    @property
    def success(self) -> bool:
        """Return whether every requested dataset was published."""
        return all(dataset.success for dataset in self.datasets.values())

    @property
    def has_news(self) -> bool:
        """Return whether a record or a custom field changed, or something needs attention."""
        return any(
            dataset.fields or dataset.warnings or not dataset.changes or dataset.changes.is_any
            for dataset in self.datasets.values()
        )


def group_errors(errors: Mapping[DatasetName, str]) -> list[tuple[str, str]]:
    """Return each error once, with the names of its datasets."""
    datasets: dict[str, list[str]] = {}
    for name, error in errors.items():
        datasets.setdefault(error, []).append(name)
    return [(error, " and ".join(names)) for error, names in datasets.items()]
