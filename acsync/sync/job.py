"""The copying of one dataset: everything that is decided before its slices are read."""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from acsync.activecampaign.walk import Walk
from acsync.datasets import DatasetName, Metadata, RelationName
from acsync.enrich.encoding import Cleaner
from acsync.readings import Copied, Dimension, Plan, Slice, Warnings
from acsync.sync.privacy import Privacy

if TYPE_CHECKING:
    from acsync.enrich.enricher import Enricher


@dataclass(frozen=True, eq=False)
class Job:
    """One dataset to copy: its plan, its metadata, and the slices that are staged already.

    `open_walk` returns a reader of the dataset. `vanished` are the last known rows that the
    metadata no longer has. `relations` are those to copy; the account may send only some of them
    (`plan.relations`). `newest` is what was staged of the newest page. `cancelled` is set after a
    slice has failed, so that the remaining slices are skipped.
    """

    plan: Plan
    metadata: Metadata
    open_walk: Callable[[], Walk]
    vanished: Metadata = field(default_factory=dict)
    relations: tuple[RelationName, ...] = ()
    staged: frozenset[int] = frozenset()
    newest: Copied = field(default_factory=Copied)
    warnings: Warnings = ()
    privacy: Privacy = field(default_factory=Privacy)
    started: float = field(default_factory=time.monotonic)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def dataset(self) -> DatasetName:
        """Return the dataset's name."""
        return self.plan.dataset

    @cached_property
    def enricher(self) -> "Enricher":
        """Return the enricher for the dataset's metadata."""
        # Importing pandas takes a second, in which the first calls are made.
        from acsync.enrich.enricher import Enricher  # noqa: PLC0415

        known = {
            need: [*rows, *self.vanished.get(need, ())] for need, rows in self.metadata.items()
        }
        return Enricher(self.dataset, known, self.privacy.rules)

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
