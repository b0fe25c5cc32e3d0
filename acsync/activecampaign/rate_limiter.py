"""Keep all threads together inside the account's calls per second, and close to them."""

import threading
import time
from collections import deque
from dataclasses import replace

from acsync.models import CallCounts

# How much earlier than expected a call may reach the server without breaking its limit.
ARRIVAL_JITTER_SECONDS = 0.015

# One refusal is jitter; another this soon after the pause means that the account allows less.
REPEAT_SECONDS = 3.0

MIN_DECREASE, MAX_DECREASE = 0.95, 0.5
INCREASE_SHARE = 0.02
INCREASE_SECONDS = 5.0

# How long a rate that was refused is not tried again.
PROBE_SECONDS = 300.0

MIN_RATE = 0.1


class RateLimiter:
    """The calls per second of one account, spaced evenly and shared by every thread.

    A server that counts any sliding second sees no more than the limit: no call is released
    sooner than a second after the one that stands a whole limit before it. `learned_rate` is
    what an earlier sync found the account to allow, where that is less than configured.
    """

    def __init__(self, calls_per_second: float, learned_rate: float | None = None) -> None:
        self.configured_rate = calls_per_second
        self.rate = min(learned_rate or calls_per_second, calls_per_second)
        self.counts = CallCounts()
        self._gate = threading.Lock()
        self._state = threading.Lock()
        self._next_at = 0.0
        self._paused_until = float("-inf")
        self._changed_at = self._refused_at = time.monotonic()
        self._ceiling = self.rate if self.rate < calls_per_second else float("inf")
        self._released: deque[float] = deque(maxlen=4 * max(1, int(min(calls_per_second, 1e6))))

    @property
    def learned_rate(self) -> float | None:
        """Return the rate the account was found to allow; None where it is the configured one."""
        return self.rate if self.rate < self.configured_rate else None

    def wait_turn(self) -> float:
        """Block until this thread may send one call; return when that was."""
        with self._gate:
            while (delay := self._delay_seconds()) > 0:
                time.sleep(delay)
            return self._release()

    def count_retry(self) -> None:
        """Count a call that is sent once more."""
        with self._state:
            self.counts = replace(self.counts, retries=self.counts.retries + 1)

    def refuse(self, released_at: float, pause_seconds: float) -> None:
        """Pause every thread after a 429; where refusals repeat, fall to what was accepted.

        `released_at` is when the refused call had its turn: as many as the account allows were
        accepted in the second before it.
        """
        with self._state:
            self.counts = replace(self.counts, rate_limited=self.counts.rate_limited + 1)
            # A call sent before the pause began is part of the same refusal.
            if 0 <= released_at - self._paused_until < REPEAT_SECONDS:
                accepted = sum(released_at - 1 <= at < released_at for at in self._released)
                self._ceiling, self._refused_at = self.rate, released_at
                most, least = self.rate * MIN_DECREASE, self.rate * MAX_DECREASE
                self._change_rate(min(most, max(accepted, least)))
            until = time.monotonic() + pause_seconds
            self._paused_until = max(self._paused_until, until)

    def _delay_seconds(self) -> float:
        with self._state:
            window = self._window()
            earliest = max(self._next_at, self._paused_until)
            if len(self._released) >= window:
                span = window / self.rate + ARRIVAL_JITTER_SECONDS
                earliest = max(earliest, self._released[-window] + span)
            return earliest - time.monotonic()

    def _release(self) -> float:
        now = time.monotonic()
        with self._state:
            spacing = 1 / self.rate
            self._released.append(now)
            self._next_at = max(self._next_at + spacing, now + spacing / 2)
            self.counts = replace(self.counts, calls=self.counts.calls + 1)
            if self.rate < self.configured_rate and now - self._changed_at > INCREASE_SECONDS:
                self._increase(now)
        return now

    def _increase(self, now: float) -> None:
        """Go up by a small step, but to a rate that was refused only after a long while."""
        rate = min(self.configured_rate, self.rate + self.configured_rate * INCREASE_SHARE)
        if rate < self._ceiling or now - self._refused_at > PROBE_SECONDS:
            self._change_rate(rate)

    def _window(self) -> int:
        """Return the calls in the second the server counts; 1 below one call a second."""
        return max(1, int(self.rate))

    def _change_rate(self, rate: float) -> None:
        self.rate = max(rate, MIN_RATE)
        self._changed_at = time.monotonic()
