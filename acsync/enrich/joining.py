"""Join records to what explains them, and leave every received value as it was.

Only sideloaded values, definitions and ids become pandas frames, with `object` columns; the
records pass by untouched, since a frame would turn null into NaN and whole numbers into floats.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from acsync.enrich.encoding import Cleaner
from acsync.enrich.fields import catalogue_fields, contact_values, deal_values, join_fields
from acsync.models import DatasetName, ListingName, Record

PIPELINE_KEYS = ("id", "title", "currency")
STAGE_KEYS = ("id", "title", "order", "dealOrder", "group")
ENRICHED_KEYS = ("customFields", "pipelineData", "stageData", "ownerData")
OWNER_KEYS = ("id", "username", "firstName", "lastName", "email")


class Enricher:
    """What explains the records of one dataset; joins it to a page of them."""

    def __init__(
        self, dataset: DatasetName, listings: Mapping[ListingName, Sequence[Record]]
    ) -> None:
        self.dataset = dataset
        if dataset == "contacts":
            self.fields = catalogue_fields(listings["contact_fields"], "perstag", "title", "type")
            return
        self.fields = catalogue_fields(
            listings["deal_fields"], "fieldLabel", "fieldLabel", "fieldType"
        )
        self.relations = {
            "pipelineData": ("group", _parts_by_id(listings["pipelines"], PIPELINE_KEYS)),
            "stageData": ("stage", _parts_by_id(listings["stages"], STAGE_KEYS)),
            "ownerData": ("owner", _parts_by_id(listings["users"], OWNER_KEYS)),
        }

    def enrich(self, rows: Sequence[Record], values: Sequence[Record]) -> list[Record]:
        """Give each row with every key as received, and the contract's keys beside them."""
        if self.dataset == "contacts":
            fields = join_fields(contact_values(values), self.fields, "fieldTitle")
            return [{**row, "customFields": fields.get(str(row["id"]), {})} for row in rows]
        fields = join_fields(deal_values(values, self.fields), self.fields, "fieldLabel")
        related = {
            name: _related([row.get(key) for row in rows], parts)
            for name, (key, parts) in self.relations.items()
        }
        return [
            {
                **row,
                "customFields": fields.get(str(row["id"]), {}),
                **{name: parts[position] for name, parts in related.items()},
            }
            for position, row in enumerate(rows)
        ]


def _parts_by_id(rows: Sequence[Record], keys: tuple[str, ...]) -> "pd.Series[Any]":
    parts = {str(row["id"]): {key: row.get(key) for key in keys} for row in rows}
    return pd.Series(list(parts.values()), index=pd.Index(list(parts), dtype=object), dtype=object)


def _related(ids: list[object], parts: "pd.Series[Any]") -> list[Record | None]:
    """Find what each id stands for; None where the API no longer lists it."""
    wanted = pd.Index([str(number) for number in ids], dtype=object)
    found = parts.reindex(wanted)
    return [None if missing else part for part, missing in zip(found, found.isna(), strict=True)]


def is_masked(record: Record) -> bool:
    """Tell a stub: `isDisabled` is a boolean in recordings and a 1 in the documentation."""
    return str(record.get("isDisabled")).lower() in ("true", "1")


def keep_last_body(stub: Record, last: Record | None) -> Record:
    """Lay a masked deal over the last known body, so that nulls do not destroy a good row."""
    if last is None:
        return stub
    # The last body was cleaned when it was stored: an unclean key would stand beside its own.
    cleaned = {Cleaner().clean_text(key): value for key, value in stub.items()}
    own = {key: value for key, value in cleaned.items() if key not in ENRICHED_KEYS}
    return {**last, **own}
