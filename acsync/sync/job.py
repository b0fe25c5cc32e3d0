"""The copying of one dataset: everything that is decided before its slices are read."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from acsync.activecampaign.walk import Walk
from acsync.datasets import DatasetName, Metadata, RelationName
from acsync.models import Plan, Slice, Warnings

if TYPE_CHECKING:
    from acsync.enrich.enricher import Enricher


@dataclass(eq=False)
class Job:
    """One dataset to copy: its plan, its metadata, and the slices that are staged already.

    `open_walk` returns a reader of the dataset. `relations` are those to copy; the account may send
    only some of them (`plan.relations`).
    `cleaned` characters were removed from the newest page. `cancelled` is set after a slice has
    failed, so that the remaining slices are skipped.
    """

    plan: Plan
    metadata: Metadata
    open_walk: Callable[[], Walk]
    relations: tuple[RelationName, ...] = ()
    staged: frozenset[int] = frozenset()
    cleaned: int = 0
    warnings: Warnings = ()
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

        return Enricher(self.dataset, self.metadata)

    @property
    def slices(self) -> list[Slice]:
        """Return the slices still to copy."""
        return [part for part in self.plan.slices if part.number not in self.staged]
