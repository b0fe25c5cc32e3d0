"""The values that cross rooms: datasets, records, and what became of a sync."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

Record: TypeAlias = dict[str, Any]
"""One row of the API as parsed from JSON; numbers with a fraction are `decimal.Decimal`."""

DatasetName: TypeAlias = Literal["contacts", "deals"]
ListingName: TypeAlias = Literal["contact_fields", "deal_fields", "pipelines", "stages", "users"]


@dataclass(frozen=True)
class Listing:
    """A small collection read whole at each sync; `path` is also the key of its rows."""

    name: ListingName
    path: str


@dataclass(frozen=True)
class Dataset:
    """A large collection copied in slices; `path` is also the key of its rows.

    `sideload` is both the `include` parameter and the key of the custom field values.
    `keyset` tells whether `id_greater` can be used: documented for contacts only.
    """

    name: DatasetName
    path: str
    sideload: str
    keyset: bool
    needs: tuple[ListingName, ...]


LISTINGS: dict[ListingName, Listing] = {
    listing.name: listing
    for listing in (
        Listing("contact_fields", "fields"),
        Listing("deal_fields", "dealCustomFieldMeta"),
        Listing("pipelines", "dealGroups"),
        Listing("stages", "dealStages"),
        Listing("users", "users"),
    )
}

DATASETS: dict[DatasetName, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("contacts", "contacts", "fieldValues", True, ("contact_fields",)),
        Dataset(
            "deals",
            "deals",
            "dealCustomFieldData",
            False,
            ("deal_fields", "pipelines", "stages", "users"),
        ),
    )
}


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
    """One dataset of one sync; `changes` is None where nothing was published."""

    duration_ms: int
    changes: Changes | None = None
    error: str | None = None

    @property
    def success(self) -> bool:
        """Tell whether the dataset was published."""
        return self.changes is not None


@dataclass(frozen=True)
class Calls:
    """The calls of one sync; `retries` and `rate_limited` are among `calls`.

    `learned_rate` is the calls per second the account was found to allow, None where that is
    as many as configured.
    """

    calls: int = 0
    retries: int = 0
    rate_limited: int = 0
    learned_rate: float | None = None


@dataclass(frozen=True)
class SyncResult:
    """One finished sync; `rate_limit` in calls per second, `cleaned` in characters."""

    sync_id: str
    account: str
    started_at: datetime
    duration_ms: int
    rate_limit: float
    calls: Calls
    cleaned: int = 0
    datasets: dict[DatasetName, DatasetResult] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Tell whether every dataset that was asked for was published."""
        return all(outcome.success for outcome in self.datasets.values())


@dataclass(frozen=True)
class Sync:
    """A sync that holds the lease; `number` orders syncs and marks the versions they made."""

    number: int
    sync_id: str
    started_at: datetime
