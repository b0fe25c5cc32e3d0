"""Limit the threads that read slices to those that the account's answer times need.

A thread makes one call at a time. If each takes four seconds, ten calls per second need forty
threads. Each thread holds a part of a slice, so fast accounts are read by fewer.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from acsync.activecampaign.client import Client
from acsync.datasets import DATASETS, DatasetName

LEAST_READERS, MOST_READERS = 12, 48

# Between two calls, a thread encodes and stages records.
SPARE = 1.2

# Seconds after which a waiting thread looks whether more threads may read.
LOOK_SECONDS = 1.0


def count_readers(calls_per_second: float, answer_seconds: float) -> int:
    """Return how many threads make this many calls per second."""
    needed = math.ceil(SPARE * calls_per_second * answer_seconds)
    return max(LEAST_READERS, min(needed, MOST_READERS))


class Readers:
    """The threads of one sync that read slices at the same time, and the datasets to skip."""

    def __init__(self, client: Client, rate_limit: float) -> None:
        self._client = client
        self._rate_limit = rate_limit
        self._reading = 0
        self._cancelled: set[DatasetName] = set()
        self._turns = threading.Condition()

    def needed(self, *names: DatasetName) -> int:
        """Return how many threads should read these datasets, by their answers so far."""
        rate = self._client.rate_limiter.pace.learned_rate or self._rate_limit
        times = self._client.answer_times
        return count_readers(rate, max(times.recent_seconds(DATASETS[name].path) for name in names))

    def cancel(self, name: DatasetName) -> None:
        """Let the slices of a dataset be skipped that are not read yet, because one has failed."""
        with self._turns:
            self._cancelled.add(name)

    def is_cancelled(self, name: DatasetName) -> bool:
        """Return whether a slice of a dataset has failed."""
        with self._turns:
            return name in self._cancelled

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until this thread may read."""
        with self._turns:
            while self._reading >= self.needed(*DATASETS):
                self._turns.wait(LOOK_SECONDS)
            self._reading += 1
        try:
            yield
        finally:
            with self._turns:
                self._reading -= 1
                self._turns.notify()
