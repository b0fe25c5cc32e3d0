"""An account whose clock is simulated, so that an hour of calls takes a fraction of a second."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TypeAlias

from acsync.activecampaign.rate_limiter import RateLimiter, Turn
from acsync.readings import Pace
from acsync.simulator.requests import RateGate, RateWindow

Arrive: TypeAlias = Callable[[], None]


@dataclass(frozen=True)
class Rival:
    """Another program that uses the same account.

    For `busy` of the time it takes the whole limit, a second at a time and at random. `steady` is
    a share of the limit that it takes all the time, evenly. `chance` is the probability that a
    call is refused because of it.
    """

    busy: float = 0.0
    steady: float = 0.0
    chance: float = 0.0

    @property
    def left(self) -> float:
        """Return the share of the limit that is left."""
        return (1 - self.busy) * (1 - self.steady) * (1 - self.chance)

    def bursts(self, random: Random, start: float) -> Iterator[float]:
        """Yield when each burst of a second begins."""
        at = start
        while self.busy:
            at += random.expovariate(self.busy / (1 - self.busy))
            yield at
            at += 1


class VirtualAccount:
    """An account that accepts `limit` calls per second, and the clock on its wall.

    Calls arrive up to `jitter` seconds late. Each answer comes `latency` seconds after its call.
    `told_rate` is the limit that a refusal names, if any.
    """

    def __init__(
        self,
        limit: float,
        retry_after: float = 1.0,
        *,
        window: RateWindow = "sliding",
        jitter: float = 0.0,
        latency: float = 0.1,
        told_rate: float | None = None,
        rival: Rival | None = None,
        seed: int = 1,
    ) -> None:
        self.retry_after, self.told_rate = retry_after, told_rate
        self.jitter, self.latency = jitter, latency
        self.rival = rival or Rival()
        self.now = 1_000_000.0
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.paused_seconds = 0.0
        self._window = window
        self._paused_until = 0.0
        self._random = Random(seed)
        self._events: list[tuple[float, int, Arrive]] = []
        self._order = 0
        self._bursts = self.rival.bursts(Random(seed + 1), self.now)
        self._burst = next(self._bursts, float("inf"))
        self._rival_at = self.now
        self.set_limit(limit)

    def set_limit(self, limit: float) -> None:
        """Change what the account allows."""
        self.limit = limit
        self._gate = RateGate(limit, self._window)

    def limiter(self, configured: float = 10.0, known: Pace | None = None) -> RateLimiter:
        """Return a limiter that lives by this clock."""
        return RateLimiter(configured, known, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        self.now = until

    def call(self, limiter: RateLimiter, calls: int) -> float:
        """Make calls until that number is accepted, and return the seconds from first to last."""
        began, done = self.now, len(self.accepted) + calls
        while len(self.accepted) < done:
            turn = limiter.wait_turn()
            arrival = self.now + self._random.uniform(0, self.jitter)
            self._at(arrival, partial(self._arrive, limiter, turn))
            self.sleep(0)
        self._events.clear()
        return self.accepted[-1] - began

    def _at(self, when: float, happen: Arrive) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, happen))

    def _arrive(self, limiter: RateLimiter, turn: Turn) -> None:
        if self._is_accepted(self.now):
            self.accepted.append(self.now)
            return
        self.refused.append(self.now)
        self._at(self.now + self.latency, partial(self._refuse, limiter, turn))

    def _refuse(self, limiter: RateLimiter, turn: Turn) -> None:
        until = self.now + self.retry_after
        self.paused_seconds += until - max(min(self._paused_until, until), self.now)
        self._paused_until = max(self._paused_until, until)
        limiter.refuse(turn, self.retry_after, self.told_rate)

    def _is_accepted(self, at: float) -> bool:
        while self._burst + 1 <= at:
            self._burst = next(self._bursts)
        while self.rival.steady and self._rival_at <= at:
            self._gate.admit(self._rival_at)
            # Evenly on the whole, or each pause could end with the same call of the rival.
            self._rival_at += self._random.uniform(0.5, 1.5) / (self.limit * self.rival.steady)
        if self._burst <= at or self._random.random() < self.rival.chance:
            return False
        return self._gate.admit(at)
