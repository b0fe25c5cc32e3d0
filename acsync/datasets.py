"""What is copied, as data: two datasets and the metadata that explains them."""

from dataclasses import dataclass
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
