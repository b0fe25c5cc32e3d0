"""Know the account's clock from the `Date` header of its answers."""

import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class ServerClock:
    """The account's clock, from all answers; safe to share between threads.

    A `Date` header has no fractions of seconds, and its answer took a while to arrive, so the
    account's clock is ahead of what any answer tells. `time_of` takes the earliest, so that no
    change is missed, and `now` the latest, which is the nearest to the truth.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead: tuple[float, float] | None = None  # the least and the most

    def note(self, date: str | None) -> None:
        """Learn from the `Date` header of an answer that has just arrived."""
        try:
            at = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return
        ahead = at - time.monotonic()
        with self._lock:
            least, most = self._ahead or (ahead, ahead)
            self._ahead = min(least, ahead), max(most, ahead)

    def time_of(self, moment: float) -> datetime | None:
        """Return the account's time at a monotonic time, or None if no answer had a date."""
        if self._ahead is None:
            return None
        return datetime.fromtimestamp(self._ahead[0] + moment, UTC)

    def now(self) -> datetime | None:
        """Return the account's time, or None if no answer had a date."""
        if self._ahead is None:
            return None
        return datetime.fromtimestamp(self._ahead[1] + time.monotonic(), UTC)
