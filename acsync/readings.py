"""How an account is read: listings, slices, records, the pace, and activities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from acsync.datasets import DatasetName, DimensionName, Record, RelationName

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

    @property
    def all_rows(self) -> list[Record]:
        """Return the rows, then those that vanished."""
        return [*self.rows, *self.vanished]


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

    Without an order, all rows are read in passes. The present pass began at `began_at`, and no
    higher id than `last_id` was known. It `added` ids that were not known, and `late` ones that the
    passes before it had missed, as the pass `late_pass` did last. From the pass `steady_since` on,
    the total did not change and no higher id appeared. After the last quiet pass, which began at
    `quiet_at`, nothing is read for a day if the total stays `quiet_total`.
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
    passes: int = 0
    steady_since: int = 1
    added: int = 0
    late: int = 0
    late_pass: int = 0
    quiet_at: datetime | None = None
    quiet_total: int | None = None
