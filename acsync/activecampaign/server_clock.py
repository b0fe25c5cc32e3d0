"""Know the account's clock from the `Date` header of its answers."""

import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class ServerClock:
    """The account's clock, as early as any answer allows; safe to share between threads.

    A `Date` header has no fractions of seconds, and its answer took a while to arrive. So the
    account's clock is a little ahead of this one, and no change is missed because of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead: float | None = None

    def note(self, date: str | None) -> None:
        """Learn from the `Date` header of an answer that has just arrived."""
        try:
            at = parsedate_to_datetime(date or "").timestamp()
        except (ValueError, OverflowError):
            return
        ahead = at - time.monotonic()
        with self._lock:
            self._ahead = ahead if self._ahead is None else min(self._ahead, ahead)

    def time_of(self, moment: float) -> datetime | None:
        """Return the account's time at a monotonic time, or None if no answer had a date."""
        if self._ahead is None:
            return None
        return datetime.fromtimestamp(self._ahead + moment, UTC)
