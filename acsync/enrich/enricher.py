"""Join records to their field definitions, pipelines, stages and owners, with pandas.

Only definitions become a frame, and only ids become an index, both with `object` columns. Records
and values stay outside: a frame would turn null into NaN and whole numbers into floats.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from acsync.datasets import FIELDS, REFERENCES, DatasetName, Metadata, Record, as_list, pick
from acsync.enrich.custom_fields import (
    DEFINITION_KEYS,
    Catalogue,
    catalogue_fields,
    contact_values,
    deal_values,
)
from acsync.enrich.encoding import Cleaner
from acsync.enrich.privacy import Rules
from acsync.enrich.relations import join_relations, relations_of
from acsync.results import CustomField


class Enricher:
    """Joins the records of one dataset to its `metadata`, the listings that explain them.

    What the privacy `rules` name leaves here as a hash or not at all. It makes its frames once, for
    all pages and threads of a sync.
    """

    def __init__(self, name: DatasetName, metadata: Metadata, rules: Rules | None = None) -> None:
        self._name, self._metadata, self._rules = name, metadata, rules or Rules()
        frame = catalogue_fields(metadata[FIELDS[name]], *DEFINITION_KEYS[name])
        self._catalogue = Catalogue(frame, "fieldTitle" if name == "contacts" else "fieldLabel")
        relations = REFERENCES if name == "deals" else ()
        self._related = {
            key: (column, Related(metadata.get(listing, ()))) for key, listing, column in relations
        }

    @property
    def fields(self) -> tuple[CustomField, ...]:
        """Return the custom fields that the copy has, in the order of their ids."""
        definitions = {str(row["id"]): row for row in self._metadata[FIELDS[self._name]]}
        clean = Cleaner().clean_text

        def texts(value: object) -> tuple[str, ...]:
            return tuple(clean(str(choice)) for choice in as_list(value) or ())

        return tuple(
            CustomField(
                str(row.field_id),
                str(row.key),
                None if row.label is None else clean(str(row.label)),
                clean(str(row.kind or "")),
                texts(definitions[str(row.field_id)].get("fieldOptions")),
                # A value of a deal has the label itself.
                texts(pick(definitions[str(row.field_id)], "fieldLabels", "fieldOptions")),
            )
            for row in self._catalogue.frame.itertuples(index=False)
            if self._rules.keeps(str(row.field_id))
        )

    def enrich(
        self,
        rows: Sequence[Record],
        values: Sequence[Record],
        related: Mapping[str, Sequence[Record]] | None = None,
    ) -> list[Record]:
        """Return each row with every key as received, plus the keys of the contract, by the rules.

        `values` are the sideloaded custom field values. `related` are the rows of other sideloads,
        by the key of their array.
        """
        field_values = (
            deal_values(values, self._catalogue.kinds) if self._related else contact_values(values)
        )
        fields = self._catalogue.join(field_values)
        added = {
            key: listing.find([row.get(column) for row in rows])
            for key, (column, listing) in self._related.items()
        }
        enriched = [
            {
                **row,
                "customFields": fields.get(str(row["id"]), {}),
                **{key: parts[place] for key, parts in added.items()},
            }
            for place, row in enumerate(rows)
        ]
        if related:
            enriched = join_relations(enriched, related, self._metadata)
        return [self._rules.apply(record) for record in enriched]

    def relations(self, related: Mapping[str, Sequence[Record]]) -> dict[str, Record]:
        """Return the tags and lists of contacts as they are stored with their records, by id."""
        relations = relations_of(related, self._metadata)
        for contact in relations.values():
            self._rules.apply_to_relations(contact)
        return relations


class Related:
    """The rows of a listing by id."""

    def __init__(self, listing: Sequence[Record]) -> None:
        rows = {str(row["id"]): row for row in listing}
        self._ids = pd.Index(list(rows), dtype=object)
        self._rows = list(rows.values())

    def find(self, ids: Sequence[object]) -> list[Record | None]:
        """Return the row of each id, or None if the listing no longer has it."""
        places = self._ids.get_indexer(pd.Index(list(map(str, ids)), dtype=object))
        return [self._rows[place] if place >= 0 else None for place in places.tolist()]
