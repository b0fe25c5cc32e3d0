"""Keep all threads together inside the account's calls per second, and close to them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from acsync.errors import SyncFailed
from acsync.models import CallCounts, Pace

# What every account allows: https://developers.activecampaign.com/reference/rate-limits
DOCUMENTED_RATE = 5.0

# How much earlier than expected a call may reach the server without breaking its limit; more where
# the limit was met, since each refusal can cost a pause of a minute.
ARRIVAL_JITTER_SECONDS = 0.015
JITTER_AT_LIMIT_SECONDS = 0.04

# An account that is not known is called at this share of the configured rate, which then rises in
# steps: from 5 to 10 calls a second in ten seconds.
START_SHARE = 0.5
STEP_SHARE = 0.1
STEP_SECONDS = 2.0

# A refusal that asks for no longer pause is jitter, unless others follow this soon after it.
JITTER_PAUSE_SECONDS = 2.0
BURST_SECONDS = 3.0

MIN_DECREASE, MAX_DECREASE = 0.95, 0.5

# How long a rate that was refused is not tried again. At the documented rate and below, it was
# the burst of another program.
REFUSED_SECONDS = 24 * 3600.0
REFUSED_DOCUMENTED_SECONDS = 300.0

MIN_RATE = 0.1


class RateLimiter:
    """The calls per second of one account, spaced evenly and shared by every thread.

    A server that counts any sliding second sees no more than the limit: no call is released
    sooner than a second after the one that stands a whole limit before it. `known` is the pace
    of an earlier sync; the rate begins there, and rises to the configured one while nothing is
    refused. `clock` counts seconds, and `sleep` waits for so many.
    """

    def __init__(
        self,
        calls_per_second: float,
        known: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.configured_rate = calls_per_second
        start = known.rate if known else max(DOCUMENTED_RATE, calls_per_second * START_SHARE)
        self.rate = min(start, calls_per_second)
        self.counts = CallCounts()
        self._clock = clock
        self._gate = threading.Lock()
        self._state = threading.Lock()
        self._closed = threading.Event()
        self._closed_for = ""
        self._sleep = sleep or self._closed.wait
        self._next_at = 0.0
        self._paused_until = float("-inf")
        self._changed_at = now = clock()
        self._calls_before_change = 0
        self._burst = 0
        ages = known.refused if known else {}
        self._refused_at = {rate: now - age for rate, age in ages.items()}
        self._released: deque[float] = deque(maxlen=4 * max(1, int(min(calls_per_second, 1e6))))

    @property
    def pace(self) -> Pace:
        """Return what the next sync of this account begins with."""
        with self._state:
            now = self._clock()
            return Pace(self.rate, {rate: now - at for rate, at in self._refused(now).items()})

    def close(self, reason: str) -> None:
        """Let no thread wait any longer: who waits, or comes later, gets SyncFailed."""
        self._closed_for = self._closed_for or reason
        self._closed.set()

    def wait_turn(self) -> float:
        """Block until this thread may send one call; return when that was."""
        with self._gate:
            while (delay := self._delay_seconds()) > 0 and not self._closed.is_set():
                self._sleep(delay)
            if self._closed.is_set():
                raise SyncFailed(self._closed_for)
            return self._release()

    def count_retry(self) -> None:
        """Count a call that is sent once more."""
        with self._state:
            self.counts = replace(self.counts, retries=self.counts.retries + 1)

    def pause(self, seconds: float) -> None:
        """Let no thread call for so long."""
        with self._state:
            self._pause(seconds)

    def refuse(
        self, released_at: float, pause_seconds: float, told_rate: float | None = None
    ) -> None:
        """Pause every thread after a 429, and fall to what was accepted where it was no jitter.

        `released_at` is when the refused call had its turn: as many as the account allows were
        accepted in the second before it. `told_rate` is the limit that the response names.
        """
        with self._state:
            self.counts = replace(self.counts, rate_limited=self.counts.rate_limited + 1)
            is_burst = released_at < self._paused_until + BURST_SECONDS
            self._burst = self._burst + 1 if is_burst else 1
            is_told = told_rate is not None and told_rate < self.rate
            is_costly = self._burst > 1 or pause_seconds > JITTER_PAUSE_SECONDS or is_told
            # A call that was sent before the rate changed says nothing about the new one.
            if is_costly and released_at > self._changed_at:
                self._refused_at[self.rate] = self._clock()
                self._fall(released_at, told_rate)
            # Before another thread can be released.
            self._pause(pause_seconds)

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _fall(self, released_at: float, told_rate: float | None) -> None:
        accepted = sum(released_at - 1 < at < released_at for at in self._released)
        least = self.rate * MAX_DECREASE
        most = min(self.rate * MIN_DECREASE, max(self.rate - 1, least))
        rate = max(min(accepted, most), least)
        self._change_rate(rate if told_rate is None else min(rate, told_rate))

    def _delay_seconds(self) -> float:
        with self._state:
            window = self._window()
            earliest = max(self._next_at, self._paused_until)
            if len(self._released) >= window:
                jitter = JITTER_AT_LIMIT_SECONDS if self._refused_at else ARRIVAL_JITTER_SECONDS
                span = window / self.rate + jitter
                earliest = max(earliest, self._released[-window] + span)
            return earliest - self._clock()

    def _release(self) -> float:
        now = self._clock()
        with self._state:
            spacing = 1 / self.rate
            self._released.append(now)
            self._next_at = max(self._next_at + spacing, now + spacing / 2)
            self.counts = replace(self.counts, calls=self.counts.calls + 1)
            if self.rate < self.configured_rate:
                self._rise(now)
        return now

    def _rise(self, now: float) -> None:
        """Go up a step where the rate was used, nothing was refused, and no refused one is near."""
        calls = self.counts.calls - self._calls_before_change
        steady_since = max(self._changed_at, self._paused_until + BURST_SECONDS)
        if now < steady_since + STEP_SECONDS or calls < self.rate:
            return
        rate = min(self.configured_rate, self.rate + max(1.0, self.configured_rate * STEP_SHARE))
        if rate < min(self._refused(now), default=float("inf")):
            self._change_rate(rate)

    def _refused(self, now: float) -> dict[float, float]:
        """Return when each rate was refused that is not tried again yet."""
        return {
            rate: at
            for rate, at in self._refused_at.items()
            if now - at
            < (REFUSED_SECONDS if rate > DOCUMENTED_RATE else REFUSED_DOCUMENTED_SECONDS)
        }

    def _window(self) -> int:
        """Return the calls in the second the server counts; 1 below one call a second."""
        return max(1, int(self.rate))

    def _change_rate(self, rate: float) -> None:
        self.rate = max(rate, MIN_RATE)
        self._changed_at = self._clock()
        self._calls_before_change = self.counts.calls
