"""Describe what ActiveCampaign offers: datasets, listings and relations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# One row of the API as parsed from JSON; numbers with a fraction are `decimal.Decimal`.
Record: TypeAlias = dict[str, Any]

DatasetName: TypeAlias = Literal["contacts", "deals"]

ListingName: TypeAlias = Literal[
    "contact_fields", "lists", "deal_fields", "pipelines", "stages", "users"
]

RelationName: TypeAlias = Literal["tags", "lists"]

Metadata: TypeAlias = Mapping[ListingName, Sequence[Record]]


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
    A custom field value has its record's id under the first of `owner_keys` that is not null.
    """

    name: DatasetName
    path: str
    sideload: str
    keyset: bool
    needs: tuple[ListingName, ...]
    owner_keys: tuple[str, ...]
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
            ("contact", "owner"),
            relations=("tags", "lists"),
        ),
        Dataset(
            "deals",
            "deals",
            "dealCustomFieldData",
            False,
            ("deal_fields", "pipelines", "stages", "users"),
            ("deal_id", "dealId", "deal"),
        ),
    )
}


def is_masked(record: Record) -> bool:
    """Return whether a deal is a stub that the key's user may not see."""
    # A boolean in recordings, a 1 in the documentation, and "0" means no.
    return str(record.get("isDisabled")).lower() in ("true", "1")
