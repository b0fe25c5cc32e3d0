"""The pace of calls: gentle from the first one, and never far below what the account allows.

Time is simulated: a day is as short as a second.
"""

from collections import deque
from dataclasses import dataclass, field

import pytest

from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.models import Pace

DAY = 24 * 3600.0


@dataclass
class Server:
    """An account that accepts so many calls in any sliding second, and the clock on its wall.

    Responses arrive a tenth of a second later; until then, others are on their way.
    """

    limit: int
    retry_after: float = 1.0
    told_rate: float | None = None
    now: float = 1_000_000.0
    accepted: deque[float] = field(default_factory=deque)
    refusals: list[float] = field(default_factory=list)
    on_their_way: deque[tuple[float, bool]] = field(default_factory=deque)

    def limiter(self, configured: float = 10.0, known: Pace | None = None) -> RateLimiter:
        return RateLimiter(configured, known, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def call(self, limiter: RateLimiter, times: int) -> list[float]:
        """Make calls from many threads, and return when they were accepted."""
        done = len(self.accepted) + times
        while len(self.accepted) < done:
            at = limiter.wait_turn()
            is_accepted = sum(at - 1 < other for other in self.accepted) < self.limit
            (self.accepted if is_accepted else self.refusals).append(at)
            self.on_their_way.append((at, is_accepted))
            while self.on_their_way and self.on_their_way[0][0] <= self.now - 0.1:
                released_at, was_accepted = self.on_their_way.popleft()
                if not was_accepted:
                    limiter.refuse(released_at, self.retry_after, self.told_rate)
        return list(self.accepted)[-times:]


def test_an_unknown_account_is_called_gently_and_at_full_speed_within_fifteen_seconds() -> None:
    """The documented limit is 5 calls a second for all programs of an account together."""
    server = Server(limit=10)
    limiter = server.limiter()

    calls = server.call(limiter, 300)

    assert sum(at < calls[0] + 1 for at in calls) == 5
    assert sum(calls[0] + 15 <= at < calls[0] + 16 for at in calls) == 10
    assert server.refusals == []
    assert limiter.pace == Pace(10)
    assert limiter.pace.learned_rate is None


@pytest.mark.parametrize("retry_after", [1.0, 30.0, 90.0])
@pytest.mark.parametrize("told_rate", [None, 5.0])
def test_a_lower_limit_costs_one_probe_a_day(retry_after: float, told_rate: float | None) -> None:
    """The next sync knows the rate that was refused, and does not try it again."""
    server = Server(5, retry_after, told_rate)
    limiter = server.limiter()

    calls = server.call(limiter, 1_600)

    pauses = retry_after + 1.1 * len(server.refusals)
    assert calls[-1] - calls[0] <= 1_600 / 5 * 1.06 + pauses
    assert 1 <= len(server.refusals) <= 3
    assert limiter.pace.learned_rate == 5

    server.refusals.clear()
    known = limiter.pace
    for _ in range(3):
        server.sleep(600)
        known = Pace(known.rate, {rate: age + 600 for rate, age in known.refused.items()})
        limiter = server.limiter(known=known)
        calls = server.call(limiter, 1_600)
        known = limiter.pace
        assert calls[-1] - calls[0] <= 1_600 / 5 * 1.05
    assert server.refusals == []

    server.limit = 10
    later = Pace(known.rate, {rate: age + DAY for rate, age in known.refused.items()})
    limiter = server.limiter(known=later)
    server.call(limiter, 300)
    assert limiter.rate == 10


def test_a_single_refusal_with_a_short_pause_costs_no_rate() -> None:
    """It is jitter on the way: two calls arrived closer than they were sent."""
    server = Server(limit=100)
    limiter = server.limiter(known=Pace(10))
    [*_, last] = server.call(limiter, 30)

    limiter.refuse(last, 1.0)

    assert limiter.rate == 10
    [first, *_] = server.call(limiter, 30)
    assert first >= last + 1


@pytest.mark.parametrize(
    ("pauses", "told_rate", "rate"),
    [([1.0, 1.0], None, 9), ([3.0], None, 9), ([1.0], 5.0, 5), ([1.0], 10.0, 10)],
    ids=["two in a burst", "a long pause", "a lower limit told", "the same limit told"],
)
def test_the_first_refusal_that_means_it_lowers_the_rate(
    pauses: list[float], told_rate: float | None, rate: float
) -> None:
    """What is accepted tells the limit, and a 429 may say it."""
    server = Server(limit=100)
    limiter = server.limiter(known=Pace(10))
    [*_, last] = server.call(limiter, 30)

    for pause in pauses:
        limiter.refuse(last, pause, told_rate)

    assert limiter.rate == pytest.approx(rate, abs=0.5)


def test_a_burst_of_another_program_is_forgotten_after_five_minutes() -> None:
    """At 5 a second, the documented limit, the account is not to blame."""
    server = Server(limit=5)
    limiter = server.limiter(known=Pace(5, {6: 0.0}))
    server.limit = 2
    server.call(limiter, 20)
    assert limiter.rate < 4

    server.limit = 5
    server.call(limiter, 100)
    assert limiter.rate < 5
    server.sleep(300)
    server.call(limiter, 100)
    assert limiter.rate == 5


def test_a_known_rate_never_exceeds_the_configured_one() -> None:
    """Who lowers the setting means it."""
    assert RateLimiter(4, Pace(9)).rate == 4
    assert RateLimiter(4).rate == 4
