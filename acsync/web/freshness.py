"""Judge the age of what is published, counted from its oldest read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from acsync.datasets import DatasetName
from acsync.schedule import LATE_AFTER, STALE_AFTER
from acsync.store.sync_history import SyncStatus

Verdict: TypeAlias = Literal["fresh", "late", "stale", "never synced"]

# From good to bad.
VERDICTS: tuple[Verdict, ...] = ("fresh", "late", "stale", "never synced")


@dataclass(frozen=True)
class Freshness:
    """One dataset as published; the age is None if it never was."""

    name: DatasetName
    records: int | None
    age: timedelta | None

    @property
    def verdict(self) -> Verdict:
        """Return how fresh it is: late after two intervals, stale after three."""
        if self.age is None:
            return "never synced"
        if self.age < LATE_AFTER:
            return "fresh"
        return "late" if self.age < STALE_AFTER else "stale"

    @property
    def sentence(self) -> str:
        """Return name and age as a sentence."""
        if self.age is None:
            return f"The {self.name} were never published."
        return f"The {self.name} were read {describe(self.age)} ago."


def judge(
    status: SyncStatus, datasets: Sequence[DatasetName], now: datetime
) -> tuple[Freshness, ...]:
    """Judge each of the datasets."""
    return tuple(
        Freshness(name, data.record_count, max(now - data.read_from, timedelta(0)))
        if (data := status.published.get(name))
        else Freshness(name, None, None)
        for name in datasets
    )


def worst(judged: Sequence[Freshness]) -> Freshness:
    """Return the dataset with the worst verdict."""
    oldest = timedelta(-1)
    return max(judged, key=lambda one: (VERDICTS.index(one.verdict), one.age or oldest))


def describe(age: timedelta) -> str:
    """Return a duration in the largest unit that fits: `4 min`."""
    seconds = round(age.total_seconds())
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit or (seconds >= unit and unit == 60):
            return f"{seconds // unit} {name}"
    return f"{seconds} s"
