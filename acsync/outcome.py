"""What became of each dataset in one sync: what the log keeps and the report tells."""

from dataclasses import dataclass, field
from datetime import datetime

from acsync.datasets import DatasetName


@dataclass(frozen=True)
class Changes:
    """What publishing changed, in records; `masked` of `records` are stubs."""

    records: int
    added: int
    updated: int
    deleted: int
    masked: int


@dataclass(frozen=True)
class DatasetOutcome:
    """One dataset of one sync; `changes` is None where nothing was published."""

    duration_ms: int
    changes: Changes | None = None
    error: str | None = None

    @property
    def success(self) -> bool:
        """Tell whether the dataset was published."""
        return self.changes is not None


@dataclass(frozen=True)
class Calls:
    """The calls of one sync; `retries` and `rate_limited` are among `calls`.

    `learned_rate` is the calls per second the account was found to allow, None where that is
    as many as configured.
    """

    calls: int = 0
    retries: int = 0
    rate_limited: int = 0
    learned_rate: float | None = None


@dataclass(frozen=True)
class SyncOutcome:
    """One finished sync; `rate_limit` in calls per second, `cleaned` in characters."""

    sync_id: str
    account: str
    started_at: datetime
    duration_ms: int
    rate_limit: float
    calls: Calls
    cleaned: int = 0
    datasets: dict[DatasetName, DatasetOutcome] = field(default_factory=dict)

    @property
    def success(self) -> bool:
        """Tell whether every dataset that was asked for was published."""
        return all(outcome.success for outcome in self.datasets.values())
