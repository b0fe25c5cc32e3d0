"""The values that cross rooms: datasets, records, plans, and what became of a sync."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from acsync.datasets import DatasetName, Record, RelationName

# What a person should know although the data was published, a sentence each.
Warnings: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class ListingRows:
    """The rows of a listing, and what is odd about them."""

    rows: list[Record]
    warnings: Warnings = ()


def as_list(value: object) -> list[Any] | None:
    """Return a list as the API sends it, or None if the value is no list.

    PHP writes an array with gaps in its keys as an object: `{"0": …, "2": …}`.
    """
    if isinstance(value, dict) and all(str(key).isdigit() for key in value):
        return list(value.values())
    return value if isinstance(value, list) else None


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

    It starts at `offset` in id order, or behind the id `after_id`, for which the offset is then
    only a hint. It ends once `records` were read or `through_id` is covered.
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
            return f"{self.dataset} behind id {self.after_id}"
        return f"{self.dataset} {self.offset + 1:,} to {self.offset + self.records:,}"


@dataclass(frozen=True)
class Plan:
    """How one dataset is walked: its total and newest id when planned, and its slices.

    `relations` are those that the account lets come along.
    """

    dataset: DatasetName
    total: int | None
    newest_id: int
    page_rows: int
    slices: tuple[Slice, ...]
    relations: tuple[RelationName, ...] = ()


@dataclass(frozen=True)
class EnrichedRecord:
    """A record ready to store: `body` is UTF-8 JSON without NUL; `cleaned` counts removed
    characters."""

    record_id: int
    hash: bytes
    body: bytes
    cleaned: int = 0


@dataclass(frozen=True)
class Sync:
    """A sync that holds the lease; `number` orders syncs and marks the versions they made."""

    number: int
    sync_id: str
    started_at: datetime


# Of an account whose jitter is not known yet.
START_MARGIN_SECONDS = 0.01


@dataclass(frozen=True)
class RefusedRate:
    """A rate that the account refused `age_seconds` ago, to try again after `bar_seconds`."""

    age_seconds: float
    bar_seconds: float


@dataclass(frozen=True)
class Pace:
    """The calls per second at the end of a sync, and what was added to each second for jitter.

    `refused` are the rates that the account does not allow, as far as is known.
    """

    rate: float
    refused: Mapping[float, RefusedRate] = field(default_factory=dict)
    margin_seconds: float = START_MARGIN_SECONDS

    @property
    def learned_rate(self) -> float | None:
        """Return what the account was found to allow, or None if it refused no rate."""
        return self.rate if self.refused else None


@dataclass(frozen=True)
class CallCounts:
    """The calls of one sync; every attempt is a call, so `calls` includes the other two."""

    calls: int = 0
    retries: int = 0
    rate_limited: int = 0


@dataclass(frozen=True)
class SyncProgress:
    """How far a running sync is: records staged by dataset, and calls so far.

    `calls_per_second` are those of the last seconds; `seconds_left` of copying, None in the other
    phases.
    """

    phase: str
    records: Mapping[DatasetName, int] = field(default_factory=dict)
    calls: int = 0
    rate_limited: int = 0
    calls_per_second: float = 0.0
    seconds_left: int | None = None


@dataclass(frozen=True)
class CustomField:
    """One custom field as the account defines it; `key` is that of its values in a record."""

    field_id: str
    key: str
    title: str | None
    type: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class FieldChange:
    """What became of a custom field since the last sync; `column` is None where there are too many.

    A field that is `retyped` has got a column of its new type beside the old one.
    """

    kind: Literal["new", "renamed", "retyped", "back", "vanished"]
    field: CustomField
    column: str | None


@dataclass(frozen=True)
class Changes:
    """What publishing changed, in records; `masked` of `records` are stubs."""

    records: int
    added: int
    updated: int
    deleted: int
    masked: int


@dataclass(frozen=True)
class DatasetResult:
    """One dataset of one sync: either its `changes`, or the `error` that kept it unpublished.

    `duration_ms` runs from its plan to its proof that nothing is missing.
    """

    duration_ms: int | None = None
    changes: Changes | None = None
    error: str | None = None
    warnings: Warnings = ()
    fields: tuple[FieldChange, ...] = ()

    @property
    def success(self) -> bool:
        """Return whether the dataset was published."""
        return self.changes is not None


@dataclass(frozen=True)
class SyncResult:
    """One finished sync; rates in calls per second, `cleaned` in characters.

    `learned_rate` is what the account was found to allow; None where that is `rate_limit`.
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

    @property
    def success(self) -> bool:
        """Return whether every dataset that was asked for was published."""
        return all(dataset.success for dataset in self.datasets.values())
