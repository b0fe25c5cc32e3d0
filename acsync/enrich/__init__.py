"""All pandas: join records to what explains them, and leave every received value as it was.

Only sideloaded values, definitions and ids become pandas frames, with `object` columns. The
records pass by untouched: a frame would turn null into NaN and whole numbers into floats.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from acsync.enrich.custom_fields import (
    catalogue_fields,
    contact_values,
    deal_values,
    join_fields,
)
from acsync.enrich.encoding import Cleaner, encode
from acsync.enrich.relations import join_relations
from acsync.models import CustomField, DatasetName, ListingName, Metadata, Record

__all__ = ["define_fields", "encode", "enrich", "keep_last_body"]

# The listing that defines a dataset's custom fields, and its columns of key, title and type.
DEFINITIONS: dict[DatasetName, tuple[ListingName, str, str, str]] = {
    "contacts": ("contact_fields", "perstag", "title", "type"),
    "deals": ("deal_fields", "fieldLabel", "fieldLabel", "fieldType"),
}

# The key of a deal that is added, the listing it comes from, the deal's key with its id, and what
# is taken of its row.
RELATIONS: tuple[tuple[str, ListingName, str, tuple[str, ...]], ...] = (
    ("pipelineData", "pipelines", "group", ("id", "title", "currency")),
    ("stageData", "stages", "stage", ("id", "title", "order", "dealOrder", "group")),
    ("ownerData", "users", "owner", ("id", "username", "firstName", "lastName", "email")),
)
ENRICHED_KEYS = ("customFields", *(key for key, *_ in RELATIONS))


def enrich(
    name: DatasetName,
    rows: Sequence[Record],
    values: Sequence[Record],
    metadata: Metadata,
    related: Mapping[str, Sequence[Record]] | None = None,
) -> list[Record]:
    """Return each row with every key as received, and the contract's keys added to it.

    `values` are the sideloaded custom field values, `related` the rows of other sideloads by their
    key, `metadata` the listings the dataset needs.
    """
    enriched = ENRICH[name](rows, values, metadata)
    return join_relations(enriched, related, metadata) if related else enriched


def define_fields(name: DatasetName, metadata: Metadata) -> tuple[CustomField, ...]:
    """Return the custom fields of a dataset, in the order of their ids."""
    options = {str(row["id"]): row.get("fieldOptions") for row in metadata[DEFINITIONS[name][0]]}
    clean = Cleaner().clean_text
    return tuple(
        CustomField(
            str(row.field_id),
            str(row.key),
            None if row.label is None else clean(str(row.label)),
            clean(str(row.kind or "")),
            tuple(clean(str(choice)) for choice in options.get(str(row.field_id)) or ()),
        )
        for row in _catalogue(name, metadata).itertuples(index=False)
    )


def _catalogue(name: DatasetName, metadata: Metadata) -> pd.DataFrame:
    listing, *columns = DEFINITIONS[name]
    return catalogue_fields(metadata[listing], *columns)


def _enrich_contacts(
    rows: Sequence[Record], values: Sequence[Record], metadata: Metadata
) -> list[Record]:
    catalogue = _catalogue("contacts", metadata)
    fields = join_fields(contact_values(values), catalogue, "fieldTitle")
    return [{**row, "customFields": fields.get(str(row["id"]), {})} for row in rows]


def _enrich_deals(
    rows: Sequence[Record], values: Sequence[Record], metadata: Metadata
) -> list[Record]:
    catalogue = _catalogue("deals", metadata)
    fields = join_fields(deal_values(values, catalogue), catalogue, "fieldLabel")
    related = {
        key: _find_related([row.get(column) for row in rows], metadata[listing], taken)
        for key, listing, column, taken in RELATIONS
    }
    return [
        {
            **row,
            "customFields": fields.get(str(row["id"]), {}),
            **{key: found[place] for key, found in related.items()},
        }
        for place, row in enumerate(rows)
    ]


ENRICH: dict[DatasetName, Callable[..., list[Record]]] = {
    "contacts": _enrich_contacts,
    "deals": _enrich_deals,
}


def _find_related(
    ids: Sequence[object], listing: Sequence[Record], taken: tuple[str, ...]
) -> list[Record | None]:
    """Return what each id stands for; None where the API no longer lists it."""
    parts = {str(row["id"]): {key: row.get(key) for key in taken} for row in listing}
    wanted = pd.Index([str(one) for one in ids], dtype=object)
    known: pd.Series[Any] = pd.Series(
        list(parts.values()), index=pd.Index(list(parts), dtype=object), dtype=object
    )
    found = known.reindex(wanted)
    return [None if missing else part for part, missing in zip(found, found.isna(), strict=True)]


def keep_last_body(stub: Record, last: Record | None) -> Record:
    """Lay a masked deal over its last known body, so that nulls do not destroy a good row."""
    if last is None:
        return stub
    # The last body was cleaned when it was stored: an unclean key would stand beside its own.
    cleaned = {Cleaner().clean_text(key): value for key, value in stub.items()}
    own = {key: value for key, value in cleaned.items() if key not in ENRICHED_KEYS}
    return {**last, **own}
