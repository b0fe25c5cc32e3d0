"""Keep all threads together within the account's calls per second, and close to them."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from acsync.activecampaign.pacing import Pacing
from acsync.errors import SyncFailed
from acsync.readings import Pace
from acsync.results import CallCounts


@dataclass
class Turn:
    """The permission to send one call: its number, when it was granted, and when the call left."""

    number: int
    given_at: float
    sent_at: float


class RateLimiter:
    """The calls per second of one account, spaced evenly and shared by every thread.

    A server that counts any sliding second never sees more than the limit. Each call waits until
    a second, and a margin for jitter, has passed since the call that left a whole limit before it.
    A call that has not reached the socket yet counts from its turn. `known` is the pace of an
    earlier sync. `clock` returns seconds, and `sleep` waits for some.
    """

    def __init__(
        self,
        calls_per_second: float,
        known: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self.counts = CallCounts()
        self.clock = clock
        self._gate = threading.Lock()
        self._state = threading.Lock()
        self._closed = threading.Event()
        self._closed_for = ""
        self.sleep = sleep or self._closed.wait
        self._pacing = Pacing(calls_per_second, known, clock())
        self._next_at = 0.0
        self._paused_until = float("-inf")
        self._turns: deque[Turn] = deque(maxlen=max(1, int(min(calls_per_second, 1e6))))

    @property
    def rate(self) -> float:
        """Return the calls per second at present."""
        return self._pacing.rate

    @property
    def margin_seconds(self) -> float:
        """Return what is added to each second for jitter."""
        return self._pacing.margin_seconds

    @property
    def pace(self) -> Pace:
        """Return what the next sync of this account begins with."""
        with self._state:
            return self._pacing.pace(self.clock())

    def close(self, reason: str) -> None:
        """Raise SyncFailed in every thread that waits for a turn, now or later."""
        self._closed_for = self._closed_for or reason
        self._closed.set()

    def wait_turn(self) -> Turn:
        """Block until this thread may send one call; call `note_sent` when it has left."""
        with self._gate:
            while (delay := self._delay_seconds()) > 0 and not self._closed.is_set():
                self.sleep(delay)
            if self._closed.is_set():
                raise SyncFailed(self._closed_for)
            return self._give_turn()

    def note_sent(self, turn: Turn) -> None:
        """Count the call from now on: it may have waited for a connection or the processor."""
        turn.sent_at = self.clock()

    def count_retry(self) -> None:
        """Count a call that is sent once more."""
        with self._state:
            self.counts = replace(self.counts, retries=self.counts.retries + 1)

    def pause(self, seconds: float) -> None:
        """Let no thread call for this long."""
        with self._state:
            self._pause(seconds)

    def refuse(self, turn: Turn, pause_seconds: float, told_rate: float | None = None) -> None:
        """Pause every thread after a 429 and learn from it; `told_rate` is the limit it names."""
        with self._state:
            self.counts = replace(self.counts, rate_limited=self.counts.rate_limited + 1)
            # Before another thread can be released.
            self._pause(pause_seconds)
            self._pacing.note_refusal(turn.number, self.clock(), pause_seconds, told_rate)

    def _pause(self, seconds: float) -> None:
        self._paused_until = max(self._paused_until, self.clock() + seconds)

    def _delay_seconds(self) -> float:
        with self._state:
            earliest = max(self._next_at, self._paused_until)
            window = self._pacing.window
            if len(self._turns) >= window:
                span = self._pacing.span_seconds
                earliest = max(earliest, self._turns[-window].sent_at + span)
            return earliest - self.clock()

    def _give_turn(self) -> Turn:
        now = self.clock()
        with self._state:
            turn = Turn(self._pacing.note_call(now), now, now)
            spacing = self._pacing.span_seconds / self._pacing.window
            self._turns.append(turn)
            self._next_at = max(self._next_at + spacing, now + spacing / 2)
            self.counts = replace(self.counts, calls=self.counts.calls + 1)
        return turn
