"""The values that cross rooms: how a dataset is read, how a sync runs, and how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from acsync.datasets import DatasetName, DimensionName, Record, RelationName

# A full sync reads everything; an incremental one reads what changed since the last sync.
SyncKind: TypeAlias = Literal["full", "incremental"]

# Sentences for a person about data that was published anyway.
Warnings: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class ListingRows:
    """The rows of a listing, with warnings if some may be missing.

    `vanished` are the last known rows that it no longer has.
    """

    rows: list[Record]
    warnings: Warnings = ()
    vanished: Sequence[Record] = ()


@dataclass(frozen=True)
class Dimension:
    """The rows that name ids of records; if `is_complete`, the account has no others."""

    name: DimensionName
    rows: Sequence[Record]
    is_complete: bool = True


@dataclass(frozen=True)
class Copied:
    """What is known of staged pages, apart from their records.

    `cleaned` characters were removed, because Postgres cannot store them. `tags` are the names of
    the tags that came along, by id.
    """

    cleaned: int = 0
    tags: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, later: "Copied") -> "Copied":
        """Return what is known of both."""
        return Copied(self.cleaned + later.cleaned, {**self.tags, **later.tags})


@dataclass(frozen=True)
class Interval:
    """All ids from `first` to `last`, both included."""

    first: int
    last: int

    def join(self, other: "Interval | None") -> "Interval":
        """Return the interval from the first to the last id of both."""
        if other is None:
            return self
        return Interval(min(self.first, other.first), max(self.last, other.last))


@dataclass(frozen=True)
class Slice:
    """Up to a thousand neighbouring records, read by one task.

    It starts at `offset` in id order. If `after_id` is known, it starts after that id, and the
    offset is only a hint. It ends once `records` were read or `through_id` is covered.
    """

    dataset: DatasetName
    number: int
    offset: int
    records: int
    through_id: int
    after_id: int | None = None

    @property
    def title(self) -> str:
        """Return a name for people: `contacts 12,001 to 13,000`."""
        # No dash between the numbers: the font of Prefect's timeline has none.
        if self.after_id is not None:
            return f"{self.dataset} after id {self.after_id}"
        return f"{self.dataset} {self.offset + 1:,} to {self.offset + self.records:,}"


@dataclass(frozen=True)
class Plan:
    """How to walk one dataset: its slices, and its total and newest id at planning time.

    `relations` are the relations that the account sends along.
    """

    dataset: DatasetName
    total: int | None
    newest_id: int
    page_rows: int
    slices: tuple[Slice, ...]
    relations: tuple[RelationName, ...] = ()


@dataclass(frozen=True)
class EnrichedRecord:
    """A record ready to store: `body` is UTF-8 JSON, `cleaned` counts removed characters.

    `relations` is JSON too: the tags and memberships of a contact as the long views show them.
    """

    record_id: int
    hash: bytes
    body: bytes
    cleaned: int = 0
    relations: bytes | None = None


@dataclass(frozen=True)
class Sync:
    """A sync that holds the lease; `number` orders syncs and marks the versions they made."""

    number: int
    sync_id: str
    started_at: datetime
    kind: SyncKind = "full"


# The margin for an account whose jitter is not known yet.
START_MARGIN_SECONDS = 0.01


@dataclass(frozen=True)
class RefusedRate:
    """A rate that the account refused `age_seconds` ago, to try again after `bar_seconds`."""

    age_seconds: float
    bar_seconds: float


@dataclass(frozen=True)
class Pace:
    """The calls per second at the end of a sync, and the margin added to each second for jitter.

    `refused` are the rates that the account does not allow, as far as is known.
    """

    rate: float
    refused: Mapping[float, RefusedRate] = field(default_factory=dict)
    margin_seconds: float = START_MARGIN_SECONDS

    @property
    def learned_rate(self) -> float | None:
        """Return the rate that the account allows, or None if it has refused none."""
        return self.rate if self.refused else None


@dataclass(frozen=True)
class CallCounts:
    """The calls of one sync. Every attempt is a call, so `calls` includes the other two."""

    calls: int = 0
    retries: int = 0
    rate_limited: int = 0


EventKind: TypeAlias = Literal["stage", "status"]


@dataclass(frozen=True)
class DealEvent:
    """A change of a deal's stage or status: stage ids, or open, won and lost.

    Ids are text. `happened_at` is the time as sent. Unknown values are None.
    """

    event_id: int
    deal_id: str
    kind: EventKind
    was: str | None
    became: str | None
    happened_at: str | None
    user_id: str | None


ActivityOrder: TypeAlias = Literal["ascending", "descending", "none"]

# Stands for all types of activities if the filter by type does not work.
ALL_TYPES = ""


@dataclass(frozen=True)
class ActivityReading:
    """How far the activities of one type were read, in the order of ids or without one.

    `rows` counts from the oldest row, `last_id` is the highest id among them. Every activity from
    before `complete_at` was read.

    Without an order, all rows are read in passes. The present pass began at `began_at` with the
    total `first_total`, and no higher id than `last_id` was known. It `added` ids that were not
    known, and `late` ones that the passes before it had missed. After the last quiet pass, nothing
    is read as long as the total stays `quiet_total`.
    """

    data_type: str
    asks_order: bool
    order: ActivityOrder = "ascending"
    rows: int = 0
    last_id: int = 0
    total: int | None = None
    page_rows: int = 100
    complete_at: datetime | None = None
    began_at: datetime | None = None
    first_total: int = 0
    passes: int = 0
    added: int = 0
    late: int = 0
    quiet_pass: int = 0
    quiet_total: int | None = None


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
    keep `fields`. A full sync has a `recall` if incremental syncs were published before it.
    """

    duration_ms: int | None = None
    changes: Changes | None = None
    error: str | None = None
    warnings: Warnings = ()
    fields: tuple[FieldChange, ...] = ()
    recall: Recall | None = None

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
