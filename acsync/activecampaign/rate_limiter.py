"""Keep all threads together inside the account's calls per second, and close to them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from acsync.errors import SyncFailed
from acsync.models import CallCounts, Pace

# What every account allows: https://developers.activecampaign.com/reference/rate-limits
DOCUMENTED_RATE = 5.0

# An account that is not known is called at this share of the configured rate, which then rises in
# steps: from 5 to 10 calls a second in ten seconds.
START_SHARE = 0.5
STEP_SHARE = 0.1
STEP_SECONDS = 2.0

# The margin must come close to the jitter on the way to the server: each refusal costs a second,
# and so do ten calls for each 100 ms of it. A refusal soon after the one before triples it, a
# late one widens it by a seventh, and a day of quiet syncs narrows it. With these figures jitter
# of 0, 10, 30 and 80 ms was refused 5 calls in 10,000 at most, once it was learned.
NARROWED_PER_CALL = 5e-5
WIDENED_LEAST, WIDENED_MOST = 0.15, 2.0
SOON_CALLS, QUIET_CALLS = 30, 1_000
MIN_MARGIN_SECONDS, MAX_MARGIN_SECONDS = 0.002, 0.12

# A refusal that asks for a longer pause is no jitter. Neither is one this soon after another, with
# fewer calls in the second before it than the rate allows.
JITTER_PAUSE_SECONDS = 2.0
BURST_SECONDS = 3.0

MIN_DECREASE, MAX_DECREASE = 0.95, 0.5

# How long a rate that was refused is not tried again. At the documented rate and below, it was
# the burst of another program.
REFUSED_SECONDS = 24 * 3600.0
REFUSED_DOCUMENTED_SECONDS = 300.0

MIN_RATE = 0.1


@dataclass
class Turn:
    """The permission to send one call: when it was given, and when the call left for the server."""

    given_at: float
    sent_at: float


class RateLimiter:
    """The calls per second of one account, spaced evenly and shared by every thread.

    A server that counts any sliding second sees no more than the limit: no call is released sooner
    than a second, and a margin for jitter on the way, after the one that stands a whole limit
    before it was sent, or had its turn where it is still on its way to the socket. `known` is the
    pace of an earlier sync; rate and margin begin there, and the rate rises to the configured one
    while nothing is refused. `clock` counts seconds, and `sleep` waits for so many.
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
        self.margin_seconds = (known or Pace(self.rate)).margin_seconds
        self.counts = CallCounts()
        self._clock = clock
        self._gate = threading.Lock()
        self._state = threading.Lock()
        self._closed = threading.Event()
        self._closed_for = ""
        self._sleep = sleep or self._closed.wait
        self._next_at = 0.0
        self._paused_until = float("-inf")
        self._changed_at = self._widened_at = now = clock()
        self._calls_before_change = 0
        # A known margin has proven itself.
        self._calls_since_refusal = QUIET_CALLS if known else 0
        self._burst = 0
        self._margin_before_burst = self.margin_seconds
        ages = known.refused if known else {}
        self._refused_at = {rate: now - age for rate, age in ages.items()}
        self._turns: deque[Turn] = deque(maxlen=4 * max(1, int(min(calls_per_second, 1e6))))

    @property
    def pace(self) -> Pace:
        """Return what the next sync of this account begins with."""
        with self._state:
            now = self._clock()
            refused = {rate: now - at for rate, at in self._refused(now).items()}
            return Pace(self.rate, refused, self.margin_seconds)

    def close(self, reason: str) -> None:
        """Let no thread wait any longer: who waits, or comes later, gets SyncFailed."""
        self._closed_for = self._closed_for or reason
        self._closed.set()

    def wait_turn(self) -> Turn:
        """Block until this thread may send one call; tell `note_sent` when it did."""
        with self._gate:
            while (delay := self._delay_seconds()) > 0 and not self._closed.is_set():
                self._sleep(delay)
            if self._closed.is_set():
                raise SyncFailed(self._closed_for)
            return self._give_turn()

    def note_sent(self, turn: Turn) -> None:
        """Count the call from now on: it may have waited for a connection, or for the processor."""
        turn.sent_at = self._clock()

    def count_retry(self) -> None:
        """Count a call that is sent once more."""
        with self._state:
            self.counts = replace(self.counts, retries=self.counts.retries + 1)

    def pause(self, seconds: float) -> None:
        """Let no thread call for so long."""
        with self._state:
            self._pause(seconds)

    def refuse(self, turn: Turn, pause_seconds: float, told_rate: float | None = None) -> None:
        """Pause every thread after a 429; widen the margin where it was jitter, else slow down.

        As many as the account allows were accepted in the second before this call. `told_rate` is
        the limit that the response names.
        """
        with self._state:
            self.counts = replace(self.counts, rate_limited=self.counts.rate_limited + 1)
            # A call that was sent before the pace changed says nothing about the new one.
            if turn.given_at > max(self._changed_at, self._widened_at):
                is_burst = turn.given_at < self._paused_until + BURST_SECONDS
                self._burst = self._burst + 1 if is_burst else 1
                if not is_burst:
                    self._margin_before_burst = self.margin_seconds
                if self._is_too_fast(turn, pause_seconds, told_rate):
                    self._refused_at[self.rate] = self._clock()
                    self._fall(turn, told_rate)
                else:
                    self._widen()
            # Before another thread can be released.
            self._pause(pause_seconds)

    def _is_too_fast(self, turn: Turn, pause_seconds: float, told_rate: float | None) -> bool:
        """Return whether the account allows less than the rate; jitter takes the last call only."""
        is_lower = self._burst > 1 and self._sent_before(turn) < self._window() - 1
        is_lower = is_lower or (told_rate is not None and told_rate < self.rate)
        is_widest = self.margin_seconds * (1 + WIDENED_LEAST) > MAX_MARGIN_SECONDS
        return is_lower or is_widest or pause_seconds > JITTER_PAUSE_SECONDS

    def _sent_before(self, turn: Turn) -> int:
        return sum(turn.sent_at - 1 < one.sent_at < turn.sent_at for one in self._turns)

    def _widen(self) -> None:
        soon = SOON_CALLS / max(1, self._calls_since_refusal)
        widened = self.margin_seconds * (1 + min(max(soon, WIDENED_LEAST), WIDENED_MOST))
        self.margin_seconds = min(widened, MAX_MARGIN_SECONDS)
        self._widened_at = self._clock()
        self._calls_since_refusal = 0

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def _fall(self, turn: Turn, told_rate: float | None) -> None:
        least = self.rate * MAX_DECREASE
        most = min(self.rate * MIN_DECREASE, max(self.rate - 1, least))
        rate = max(min(self._sent_before(turn), most), least)
        self._change_rate(rate if told_rate is None else min(rate, told_rate))
        # This burst was no jitter: what it widened was widened in vain.
        self.margin_seconds = self._margin_before_burst
        self._calls_since_refusal = 0

    def _delay_seconds(self) -> float:
        with self._state:
            earliest = max(self._next_at, self._paused_until)
            window = self._window()
            if len(self._turns) >= window:
                earliest = max(earliest, self._turns[-window].sent_at + self._span_seconds())
            return earliest - self._clock()

    def _give_turn(self) -> Turn:
        now = self._clock()
        turn = Turn(now, now)
        with self._state:
            spacing = self._span_seconds() / self._window()
            self._turns.append(turn)
            self._next_at = max(self._next_at + spacing, now + spacing / 2)
            self.counts = replace(self.counts, calls=self.counts.calls + 1)
            self._calls_since_refusal += 1
            narrowed = self.margin_seconds * (1 - NARROWED_PER_CALL)
            self.margin_seconds = max(narrowed, MIN_MARGIN_SECONDS)
            if self.rate < self.configured_rate:
                self._rise(now)
        return turn

    def _rise(self, now: float) -> None:
        """Go up a step where the rate was used, nothing was refused, and no refused one is near."""
        calls = self.counts.calls - self._calls_before_change
        steady_since = max(self._changed_at, self._paused_until + BURST_SECONDS)
        if now < steady_since + STEP_SECONDS or calls < self.rate:
            return
        step = max(1.0, self.configured_rate * STEP_SHARE)
        # Limits are whole numbers: from 4.5 to 5, and then to 6.
        rate = min(self.configured_rate, int(self.rate) + step)
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

    def _span_seconds(self) -> float:
        """Return the seconds in which a whole window of calls is sent."""
        return self._window() / self.rate + self.margin_seconds

    def _change_rate(self, rate: float) -> None:
        self.rate = max(rate, MIN_RATE)
        self._changed_at = self._clock()
        self._calls_before_change = self.counts.calls
