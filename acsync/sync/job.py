"""The copying of one dataset: everything that is decided before its slices are read."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from acsync.activecampaign.walk import Walk
from acsync.datasets import DatasetName, Metadata, RelationName
from acsync.enrich.encoding import Cleaner
from acsync.enrich.privacy import Rules
from acsync.readings import Copied, Dimension, Plan, Slice, Warnings
from acsync.sync.privacy import Privacy

if TYPE_CHECKING:
    from acsync.enrich.enricher import Enricher


@dataclass(frozen=True, eq=False)
class Job:
    """One dataset to copy: its plan, its metadata, and the slices that are staged already.

    `open_walk` returns a reader of the dataset. `enricher` joins its records to the metadata.
    `relations` are those to copy; the account may send only some of them (`plan.relations`).
    `newest` is what was staged of the newest page.
    """

    plan: Plan
    metadata: Metadata
    open_walk: Callable[[], Walk]
    enricher: "Enricher"
    relations: tuple[RelationName, ...] = ()
    staged: frozenset[int] = frozenset()
    newest: Copied = field(default_factory=Copied)
    warnings: Warnings = ()
    privacy: Privacy = field(default_factory=Privacy)
    started: float = field(default_factory=time.monotonic)

    @property
    def dataset(self) -> DatasetName:
        """Return the dataset's name."""
        return self.plan.dataset

    def left_out(self, refused: Collection[RelationName]) -> tuple[RelationName, ...]:
        """Return the relations to copy that did not come with all records.

        The account `refused` some of them after the plan was made.
        """
        came = {*self.plan.relations} - {*refused}
        return tuple(name for name in self.relations if name not in came)

    def dimensions(
        self, tag_names: Mapping[str, str], left_out: Collection[RelationName]
    ) -> tuple[Dimension, ...]:
        """Return the listings that name and define ids of records, and the tags that were read.

        The tags are complete if they came with all contacts, and if none were resumed.
        """
        clean = Cleaner().clean
        listings = [Dimension(name, clean([*rows])) for name, rows in self.metadata.items()]
        tags = [{"id": tag_id, "tag": name} for tag_id, name in tag_names.items()]
        is_complete = "tags" in self.relations and "tags" not in left_out and not self.staged
        return (*listings, Dimension("tags", clean(tags), is_complete))

    @property
    def slices(self) -> list[Slice]:
        """Return the slices still to copy."""
        return [part for part in self.plan.slices if part.number not in self.staged]


def make_enricher(
    name: DatasetName, metadata: Metadata, vanished: Metadata, rules: Rules
) -> "Enricher":
    """Return what joins records to the metadata, and to last known rows that it no longer has."""
    # Importing pandas takes a second, in which the first calls are made.
    from acsync.enrich.enricher import Enricher  # noqa: PLC0415

    known = {need: [*rows, *vanished.get(need, ())] for need, rows in metadata.items()}
    return Enricher(name, known, rules)
