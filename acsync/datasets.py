"""The datasets, listings and relations of ActiveCampaign, and how their rows are written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeAlias

# One row of the API as parsed from JSON; numbers with a fraction are `decimal.Decimal`.
Record: TypeAlias = dict[str, Any]

DatasetName: TypeAlias = Literal["contacts", "deals"]

ListingName: TypeAlias = Literal[
    "contact_fields", "lists", "deal_fields", "pipelines", "stages", "users"
]

RelationName: TypeAlias = Literal["tags", "lists"]

Metadata: TypeAlias = Mapping[ListingName, Sequence[Record]]

# The listings whose rows are kept with their last known names, and the tags, which come with
# contacts.
DimensionName: TypeAlias = ListingName | Literal["tags"]

DIMENSIONS: tuple[DimensionName, ...] = ("pipelines", "stages", "users", "lists", "tags")


@dataclass(frozen=True)
class Listing:
    """A small collection, read whole in every sync; `path` is also the key of its rows.

    Only `keys` are kept; other columns, such as counters, change with every record. If an
    `optional` listing cannot be read, or is empty and not `may_be_empty`, its last published rows
    are used.
    """

    name: ListingName
    path: str
    keys: tuple[str, ...]
    optional: bool = False
    may_be_empty: bool = False


@dataclass(frozen=True)
class Relation:
    """Rows that can be sideloaded with each contact: `include` requests the array `key`.

    The array `explained_by` has rows that explain them, and comes with them.
    """

    include: str
    key: str
    explained_by: str | None = None


RELATIONS: dict[RelationName, Relation] = {
    "tags": Relation("contactTags.tag", "contactTags", explained_by="tags"),
    "lists": Relation("contactLists", "contactLists"),
}


@dataclass(frozen=True)
class Dataset:
    """A large collection, copied in slices; `path` is also the key of its rows.

    `sideload` is both the `include` parameter and the key of the custom field values.
    `keyset` is true if `id_greater` works: it is documented for contacts only.
    `needs` are the listings that explain its records, `relations` the rows that can be sideloaded.
    A custom field value has the id of its record in the first of `owner_keys` that is not null.
    `date_key` is the key with the time of a record's last change.
    """

    name: DatasetName
    path: str
    sideload: str
    keyset: bool
    needs: tuple[ListingName, ...]
    owner_keys: tuple[str, ...]
    date_key: str
    relations: tuple[RelationName, ...] = ()


LISTINGS: dict[ListingName, Listing] = {
    listing.name: listing
    for listing in (
        Listing(
            "contact_fields",
            "fields",
            ("id", "perstag", "title", "type", "fieldOptions", "fieldLabels"),
        ),
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
            "udate",
            relations=("tags", "lists"),
        ),
        Dataset(
            "deals",
            "deals",
            "dealCustomFieldData",
            False,
            ("deal_fields", "pipelines", "stages", "users"),
            ("deal_id", "dealId", "deal"),
            "mdate",
        ),
    )
}


# The listing that defines the custom fields of a dataset.
FIELDS: dict[DatasetName, ListingName] = {"contacts": "contact_fields", "deals": "deal_fields"}

# The key that is added to a deal, the listing with its rows, and the key of the deal with the row's
# id.
REFERENCES: tuple[tuple[str, ListingName, str], ...] = (
    ("pipelineData", "pipelines", "group"),
    ("stageData", "stages", "stage"),
    ("ownerData", "users", "owner"),
)

# The keys of a record that say nothing about it: names that are joined by id, links, the ids of
# sideloaded rows, and the counters that ActiveCampaign changes whenever it sends an email.
NOT_CONTENT: dict[DatasetName, frozenset[str]] = {
    "contacts": frozenset(
        (
            *("links", "fieldValues", "contactLists"),
            *("sentcnt", "last_open_date", "last_click_date", "last_mpp_open_date", "adate"),
            *("edate", "updated_timestamp", "updated_utc_timestamp", "rating_tstamp"),
            "best_send_hour",
        )
    ),
    "deals": frozenset(("links", "dealCustomFieldData", *(key for key, _, _ in REFERENCES))),
}


def parse_record(body: str | bytes) -> Record:
    """Parse a stored record; all numbers become decimals, since Python limits ints to 4,300 digits.

    A decimal keeps all digits of a number.
    """
    record: Record = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    return record


def as_list(value: object) -> list[Any] | None:
    """Return a list as the API sends it, or None if the value is no list.

    PHP writes an array with gaps in its keys as an object: `{"0": …, "2": …}`.
    """
    if isinstance(value, dict) and all(str(key).isdigit() for key in value):
        return list(value.values())
    return value if isinstance(value, list) else None


def pick(row: Record, *names: str) -> Any:
    """Return the value of the first key that is not null; the API uses several spellings."""
    for name in names:
        if (value := row.get(name)) is not None:
            return value
    return None


def id_order(value: object) -> tuple[int, str]:
    """Return a sort key for ids: the order of their numbers, also for other texts."""
    text = str(value)
    return len(text), text


def is_masked(record: Record) -> bool:
    """Return whether a deal is a stub because the key's user has no access to it."""
    # Recordings have a boolean, the documentation has a 1, and "0" means no.
    return str(record.get("isDisabled")).lower() in ("true", "1")
