"""Measure how long the account takes to answer a call."""

import threading

# The weight of a new answer in the recent time.
NEWEST_SHARE = 0.1


class AnswerTimes:
    """The seconds from a call to its whole answer, noted by all threads of a sync."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._seconds = 0.0
        self._recent: dict[str, float] = {}

    def note(self, path: str, seconds: float) -> None:
        """Note one answer of the collection `path`, or of a record in it."""
        collection = path.partition("/")[0]
        with self._lock:
            self._calls += 1
            self._seconds += seconds
            last = self._recent.get(collection, seconds)
            self._recent[collection] = last + NEWEST_SHARE * (seconds - last)

    @property
    def mean_seconds(self) -> float:
        """Return the mean of all answers, or 0 before the first."""
        return self._seconds / max(self._calls, 1)

    def recent_seconds(self, collection: str) -> float:
        """Return what the last answers of a collection took, or 0 before the first."""
        return self._recent.get(collection, 0.0)
