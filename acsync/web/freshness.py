"""Judge what is published by the age of the last full sync, and by how the last sync ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from acsync.datasets import DatasetName
from acsync.schedule import late_after, stale_after
from acsync.spelling import spell_age
from acsync.store.sync_status import PublishedDataset, SyncStatus

# `failing`: fresh, but the last sync failed. `new`: no sync has finished yet.
Verdict: TypeAlias = Literal["fresh", "failing", "late", "stale", "never", "new"]


@dataclass(frozen=True)
class Look:
    """How a verdict is shown; the shape is for people who do not see the colour."""

    title: str
    shape: str
    colour: str


GREEN, AMBER, RED, BLUE, GREY = "#146c37", "#8a5200", "#b3261e", "#1d4ed8", "#545b67"

# From good to bad.
LOOKS: dict[Verdict, Look] = {
    "fresh": Look("Fresh", "●", GREEN),
    "failing": Look("Fresh, but the last sync failed", "◆", AMBER),
    "late": Look("Late", "◐", AMBER),
    "stale": Look("Stale", "▲", RED),
    "never": Look("Never synced", "○", RED),
    "new": Look("No sync yet", "○", BLUE),
}


@dataclass(frozen=True)
class Freshness:
    """One dataset as published, None if it never was; `interval` is that of full syncs."""

    name: DatasetName
    published: PublishedDataset | None
    interval: timedelta
    now: datetime

    @property
    def records(self) -> int | None:
        """Return the number of published records."""
        return self.published.record_count if self.published else None

    @property
    def age(self) -> timedelta | None:
        """Return the age of the proof; incremental syncs do not make the data younger."""
        return self._since(self.published.proven_from) if self.published else None

    @property
    def verdict(self) -> Verdict:
        """Return how fresh it is: late after two intervals, stale after three."""
        if self.age is None:
            return "never"
        if self.age < late_after(self.interval):
            return "fresh"
        return "late" if self.age < stale_after(self.interval) else "stale"

    @property
    def look(self) -> Look:
        """Return how its verdict is shown."""
        return LOOKS[self.verdict]

    @property
    def sentence(self) -> str:
        """Return name and age as a sentence."""
        if self.published is None:
            return f"The {self.name} were never published."
        read = spell_age(self._since(self.published.read_from))
        if not self.published.is_ahead:
            return f"The {self.name} were read {read} ago."
        proven = spell_age(self._since(self.published.verified_at))
        return f"{self.name.title()}: changes as of {read} ago; proven complete {proven} ago."

    def _since(self, moment: datetime) -> timedelta:
        return max(self.now - moment, timedelta(0))


@dataclass(frozen=True)
class Judgement:
    """All datasets together; `last_sync` is whether it was complete, None if there is none."""

    datasets: tuple[Freshness, ...]
    last_sync: bool | None

    @property
    def worst(self) -> Freshness:
        """Return the dataset with the worst verdict, and of those the oldest."""
        order = [*LOOKS]
        return max(
            self.datasets,
            key=lambda dataset: (order.index(dataset.verdict), dataset.age or timedelta(0)),
        )

    @property
    def verdict(self) -> Verdict:
        """Return the worst verdict of the datasets; a failed sync makes fresh ones failing."""
        if self.last_sync is None and all(dataset.age is None for dataset in self.datasets):
            return "new"
        verdict = self.worst.verdict
        return "failing" if verdict == "fresh" and self.last_sync is False else verdict

    @property
    def look(self) -> Look:
        """Return how the verdict is shown."""
        return LOOKS[self.verdict]

    @property
    def badge(self) -> str:
        """Return the text of the badge."""
        if self.worst.age is None:
            return "never synced"
        failed = ", last sync failed" if self.verdict == "failing" else ""
        return f"synced {spell_age(self.worst.age)} ago{failed}"


def judge(status: SyncStatus, datasets: Sequence[DatasetName], now: datetime) -> Judgement:
    """Judge these datasets."""
    return Judgement(
        tuple(
            Freshness(name, status.published.get(name), status.interval, now) for name in datasets
        ),
        status.latest.success if status.latest else None,
    )
