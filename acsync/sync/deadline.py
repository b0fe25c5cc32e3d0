"""Stop a sync that takes too long, so that the next one can start."""

import threading
import time
from datetime import timedelta

from acsync.activecampaign.client import Client

# Default limit: 30 minutes, or three times what the calls take, whichever is longer.
LEAST_SECONDS = 1800.0
CALL_SHARE = 3


def longest_resumable(max_duration: timedelta | None, interval: timedelta) -> timedelta:
    """Return the maximum age of records that a sync resumes from an unfinished one."""
    return max(interval, max_duration or timedelta(seconds=LEAST_SECONDS))


class Deadline:
    """The time limit of a sync; after it, every call raises SyncFailed.

    Without `max_duration`, the limit grows with the number of expected calls. `resumable` is
    the maximum age of records that this sync resumes.
    """

    def __init__(self, client: Client, max_duration: timedelta | None, interval: timedelta) -> None:
        self._client = client
        self._is_fixed = max_duration is not None
        self.resumable = longest_resumable(max_duration, interval)
        self._seconds = max_duration.total_seconds() if max_duration else LEAST_SECONDS
        self._started = time.monotonic()
        self._calls = 0
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
        self._thread.start()

    def expect_calls(self, calls: int) -> None:
        """Extend the limit for more calls at the current rate."""
        with self._lock:
            self._calls += calls
            if not self._is_fixed:
                needed = CALL_SHARE * self._calls / self._client.rate_limiter.rate
                self._seconds = max(self._seconds, needed)

    def close(self) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while (left := self._started + self._seconds - time.monotonic()) > 0:
            # The limit may grow during the wait.
            if self._done.wait(min(left, 60.0)):
                return
        self._client.close(
            f"The sync took longer than {timedelta(seconds=round(self._seconds))} "
            "(ACSYNC_MAX_DURATION). The next sync resumes records that were read less "
            f"than {self.resumable} before it."
        )
