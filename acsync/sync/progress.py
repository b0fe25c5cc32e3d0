"""The progress of a running sync, for people who wait for it."""

import threading
import time
from collections import deque
from typing import Literal, TypeAlias, get_args

from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.datasets import DatasetName
from acsync.results import SyncProgress

Phase: TypeAlias = Literal["reading metadata", "planning", "copying", "verifying", "publishing"]

PHASES = get_args(Phase)

# Calls per second are averaged over the last seconds.
WINDOW_SECONDS = 10.0


class Progress:
    """The phase and the counts of one sync, shared by its threads."""

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter
        self._phase: Phase = "reading metadata"
        self._expected: dict[DatasetName, int] = {}
        self._records: dict[DatasetName, int] = {}
        self._resumed = 0
        self._copying_since = time.monotonic()
        self._calls: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._lock = threading.Lock()

    def enter(self, phase: Phase) -> None:
        """Start a phase, unless another dataset is already in a later one."""
        with self._lock:
            if PHASES.index(phase) <= PHASES.index(self._phase):
                return
            self._phase = phase
            if phase == "copying":
                self._copying_since = time.monotonic()

    def expect(self, name: DatasetName, records: int, resumed: int) -> None:
        """Set how many records a dataset has; `resumed` of them were copied by an earlier sync."""
        with self._lock:
            self._expected[name], self._records[name] = records, resumed
            self._resumed += resumed

    def advance(self, name: DatasetName, records: int) -> None:
        """Add staged records; a record of two slices counts twice."""
        with self._lock:
            self._records[name] = self._records.get(name, 0) + records

    def read(self) -> SyncProgress:
        """Return the current progress."""
        now, counts = time.monotonic(), self._limiter.counts
        with self._lock:
            self._calls.append((now, counts.calls))
            while len(self._calls) > 2 and self._calls[1][0] < now - WINDOW_SECONDS:
                self._calls.popleft()
            since, calls = self._calls[0]
            per_second = (counts.calls - calls) / max(now - since, 1.0)
            return SyncProgress(
                self._phase,
                dict(self._records),
                counts.calls,
                counts.rate_limited,
                round(per_second, 1),
                self._seconds_left(now),
            )

    def _seconds_left(self, now: float) -> int | None:
        left = sum(max(self._expected[name] - self._records[name], 0) for name in self._expected)
        copied = sum(self._records.values()) - self._resumed
        if self._phase != "copying" or copied <= 0:
            return None
        return round(left / copied * (now - self._copying_since))
