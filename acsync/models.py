"""The values that cross rooms: datasets, records, plans, and what became of a sync."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

# One row of the API as parsed from JSON; numbers with a fraction are `decimal.Decimal`.
Record: TypeAlias = dict[str, Any]

DatasetName: TypeAlias = Literal["contacts", "deals"]
ListingName: TypeAlias = Literal[
    "contact_fields", "lists", "deal_fields", "pipelines", "stages", "users"
]
RelationName: TypeAlias = Literal["tags", "lists"]
Metadata: TypeAlias = Mapping[ListingName, Sequence[Record]]

# What a person should know although the data was published, a sentence each.
Warnings: TypeAlias = tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """A small collection, read whole at each sync; `path` is also the key of its rows.

    Of a row, `keys` are what explains records; a count beside them changes with every new record.
    Where it is `optional` and cannot be read, what is published keeps its rows; so also where it
    is empty, unless it `may_be_empty`.
    """

    name: ListingName
    path: str
    keys: tuple[str, ...]
    optional: bool = False
    may_be_empty: bool = False


@dataclass(frozen=True)
class ListingRows:
    """The rows of a listing, and what is odd about them."""

    rows: list[Record]
    warnings: Warnings = ()


@dataclass(frozen=True)
class Relation:
    """What may come along with each contact: `include` asks for it, `key` is that of its rows.

    The rows of `beside` explain those rows, and come along too.
    """

    name: RelationName
    include: str
    key: str
    beside: str | None = None


RELATIONS: dict[RelationName, Relation] = {
    relation.name: relation
    for relation in (
        Relation("tags", "contactTags.tag", "contactTags", beside="tags"),
        Relation("lists", "contactLists", "contactLists"),
    )
}


@dataclass(frozen=True)
class Dataset:
    """A large collection, copied in slices; `path` is also the key of its rows.

    `sideload` is both the `include` parameter and the key of the custom field values.
    `keyset` tells whether `id_greater` works: it is documented for contacts only.
    `needs` names the listings that explain its records, `relations` what else may come along.
    """

    name: DatasetName
    path: str
    sideload: str
    keyset: bool
    needs: tuple[ListingName, ...]
    relations: tuple[RelationName, ...] = ()


LISTINGS: dict[ListingName, Listing] = {
    listing.name: listing
    for listing in (
        Listing("contact_fields", "fields", ("id", "perstag", "title", "type", "fieldOptions")),
        Listing("lists", "lists", ("id", "name"), optional=True, may_be_empty=True),
        Listing(
            "deal_fields", "dealCustomFieldMeta", ("id", "fieldLabel", "fieldType", "fieldOptions")
        ),
        Listing("pipelines", "dealGroups", ("id", "title", "currency")),
        Listing("stages", "dealStages", ("id", "title", "order", "dealOrder", "group")),
        Listing(
            "users", "users", ("id", "username", "firstName", "lastName", "email"), optional=True
        ),
    )
}

DATASETS: dict[DatasetName, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "contacts",
            "contacts",
            "fieldValues",
            True,
            ("contact_fields", "lists"),
            relations=("tags", "lists"),
        ),
        Dataset(
            "deals",
            "deals",
            "dealCustomFieldData",
            False,
            ("deal_fields", "pipelines", "stages", "users"),
        ),
    )
}


def is_masked(record: Record) -> bool:
    """Return whether a deal is a stub that the key's user may not see."""
    # A boolean in recordings, a 1 in the documentation, and "0" means no.
    return str(record.get("isDisabled")).lower() in ("true", "1")


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
