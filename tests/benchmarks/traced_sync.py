"""Run `acsync sync` in this process, and write how long after its turn each call left."""

import json
import os
import sys
from pathlib import Path

from acsync.activecampaign import rate_limiter
from acsync.cli import main
from acsync.sync import context
from tests.benchmarks.measure import TRACE

# The image has no pyarrow, which belongs to `acsync export`; pandas loads it where it is there.
sys.modules["pyarrow"] = None  # type: ignore[assignment]

milliseconds: list[float] = []


class TracedRateLimiter(rate_limiter.RateLimiter):
    """A rate limiter that remembers when calls left."""

    def note_sent(self, turn: rate_limiter.Turn) -> None:
        """Note it."""
        super().note_sent(turn)
        milliseconds.append((turn.sent_at - turn.given_at) * 1000)


vars(context)["RateLimiter"] = TracedRateLimiter
try:
    main()
finally:
    Path(os.environ[TRACE]).write_text(json.dumps(milliseconds))
