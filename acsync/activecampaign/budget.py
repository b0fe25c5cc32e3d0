"""Keep all threads together inside the account's calls per second, and nearly reach them."""

import threading
import time
from collections import deque
from dataclasses import dataclass

ARRIVAL_JITTER_SECONDS = 0.015
"""How much earlier than expected a call may reach the server without breaking its limit."""

REPEAT_SECONDS = 3.0
"""One refusal is jitter; another this soon after the pause says that the account allows less."""

DECREASE = 0.75
INCREASE_SHARE = 0.02
INCREASE_SECONDS = 5.0


@dataclass
class CallCounts:
    """What the calls of one sync came to; every attempt is a call."""

    calls: int = 0
    retries: int = 0
    rate_limited: int = 0


class CallBudget:
    """The calls per second of one account, spaced evenly and shared by every thread.

    A server that counts any sliding second sees no more than the limit: no call is released
    sooner than a second after the one that stands a whole limit before it.
    """

    def __init__(self, calls_per_second: float) -> None:
        self.configured_rate = calls_per_second
        self.rate = calls_per_second
        self.counts = CallCounts()
        self._gate = threading.Lock()
        self._state = threading.Lock()
        self._next_at = 0.0
        self._paused_until = float("-inf")
        self._changed_at = time.monotonic()
        self._released: deque[float] = deque(maxlen=max(1, int(calls_per_second)))

    def wait_turn(self) -> None:
        """Block until this thread may send one call."""
        with self._gate:
            while (delay := self._delay_seconds()) > 0:
                time.sleep(delay)
            self._release()

    def count_retry(self) -> None:
        """Note that a call is sent once more."""
        with self._state:
            self.counts.retries += 1

    def refuse(self, pause_seconds: float) -> None:
        """Pause every thread after a 429; lower the rate where refusals repeat."""
        now = time.monotonic()
        with self._state:
            self.counts.rate_limited += 1
            # A call sent before the pause began is part of the same refusal.
            if 0 <= now - self._paused_until < REPEAT_SECONDS:
                self._change_rate(self.rate * DECREASE, now)
            self._paused_until = max(self._paused_until, now + pause_seconds)

    def _delay_seconds(self) -> float:
        with self._state:
            window = self._window()
            earliest = max(self._next_at, self._paused_until)
            if len(self._released) >= window:
                span = window / self.rate + ARRIVAL_JITTER_SECONDS
                earliest = max(earliest, self._released[-window] + span)
            return earliest - time.monotonic()

    def _release(self) -> None:
        now = time.monotonic()
        with self._state:
            spacing = 1 / self.rate
            self._released.append(now)
            self._next_at = max(self._next_at + spacing, now + spacing / 2)
            self.counts.calls += 1
            if self.rate < self.configured_rate and now - self._changed_at > INCREASE_SECONDS:
                step = self.configured_rate * INCREASE_SHARE
                self._change_rate(min(self.configured_rate, self.rate + step), now)

    def _window(self) -> int:
        """Calls in the second the server counts; one where the limit is below one a second."""
        return max(1, int(self.rate))

    def _change_rate(self, rate: float, now: float) -> None:
        self.rate = max(rate, 0.1)
        self._changed_at = now
