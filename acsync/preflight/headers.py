"""Note what the headers of answers say, which the reading of pages leaves aside."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

HALF_A_SECOND = timedelta(seconds=0.5)
"""A `Date` is cut to whole seconds, so that it was half a second later on average."""


@dataclass
class HeaderNotes:
    """How far the API's clock is ahead of ours, and the rate limit it names; each where it does.

    `RateLimit-Limit` is documented beside a 429 and was never seen on a good answer.
    """

    ahead_seconds: float | None = None
    rate_limit: int | None = None

    def note(self, response: httpx.Response) -> None:
        """Read the headers of one answer; unreadable ones say nothing."""
        limit = response.headers.get("RateLimit-Limit", "")
        if limit.isascii() and limit.isdigit() and len(limit) < 6:
            self.rate_limit = int(limit)
        try:
            theirs = parsedate_to_datetime(response.headers.get("Date", "")) + HALF_A_SECOND
            self.ahead_seconds = (theirs - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return
