"""End a sync that takes too long, so that the next one can try."""

import threading
import time
from datetime import timedelta

from acsync.activecampaign.client import Client
from acsync.schedule import INTERVAL

# Default limit: 30 minutes, or three times what the calls take, whichever is longer.
LEAST_SECONDS = 1800.0
CALL_SHARE = 3


def longest_resumable(max_duration: timedelta | None) -> timedelta:
    """Return how old a record may be that a sync takes over from one that did not finish."""
    return max(INTERVAL, max_duration or timedelta(seconds=LEAST_SECONDS))


class Deadline:
    """The time that a sync may take; once it is over, every call raises SyncFailed.

    `max_duration` is the limit that was set. Without one, it grows with the calls that are
    expected.
    """

    def __init__(self, client: Client, max_duration: timedelta | None) -> None:
        self.expired = False
        self._client = client
        self._is_fixed = max_duration is not None
        self._resumable = longest_resumable(max_duration)
        self._seconds = max_duration.total_seconds() if max_duration else LEAST_SECONDS
        self._started = time.monotonic()
        self._calls = 0
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
        self._thread.start()

    def expect_calls(self, calls: int) -> None:
        """Allow for more calls at the present rate."""
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
            # The limit may grow while this waits.
            if self._done.wait(min(left, 60.0)):
                return
        self.expired = True
        self._client.close(
            f"The sync took longer than {timedelta(seconds=round(self._seconds))} "
            "(ACSYNC_MAX_DURATION). The next sync resumes what was read less than "
            f"{self._resumable} before."
        )
