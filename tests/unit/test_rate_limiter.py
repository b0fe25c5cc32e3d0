"""The pace of calls: gentle from the first one, and never far below what the account allows.

Time is simulated: a day is as short as a second.
"""

import heapq
from collections import deque
from dataclasses import dataclass, field
from random import Random

import pytest

from acsync.activecampaign.rate_limiter import RateLimiter, Turn
from acsync.models import START_MARGIN_SECONDS, Pace
from acsync.simulator.requests import RateGate, RateWindow

DAY = 24 * 3600.0


@dataclass
class Server:
    """An account that accepts so many calls a second, and the clock on its wall.

    Calls arrive up to `jitter` seconds late. Responses come a tenth of a second later; until then,
    others are on their way.
    """

    limit: int
    retry_after: float = 1.0
    told_rate: float | None = None
    window: RateWindow = "sliding"
    jitter: float = 0.0
    now: float = 1_000_000.0
    accepted: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = Random(1)
        self._coming: list[tuple[float, int, Turn]] = []
        self._answers: deque[tuple[float, Turn]] = deque()
        self.set_limit(self.limit)

    def set_limit(self, limit: int) -> None:
        self._gate = RateGate(limit, self.window)

    def limiter(self, configured: float = 10.0, known: Pace | None = None) -> RateLimiter:
        return RateLimiter(configured, known, clock=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def call(self, limiter: RateLimiter, times: int) -> list[float]:
        """Make calls from many threads, and return when they were accepted."""
        done = len(self.accepted) + times
        while len(self.accepted) < done:
            turn = limiter.wait_turn()
            arrival = self.now + self._random.uniform(0, self.jitter)
            heapq.heappush(self._coming, (arrival, limiter.counts.calls, turn))
            self._arrive(limiter)
        self._coming.clear()
        self._answers.clear()
        return self.accepted[-times:]

    def _arrive(self, limiter: RateLimiter) -> None:
        while self._coming and self._coming[0][0] <= self.now:
            arrival, _, turn = heapq.heappop(self._coming)
            if self._gate.admit(arrival):
                self.accepted.append(arrival)
            else:
                self.refusals.append(arrival)
                self._answers.append((arrival + 0.1, turn))
        while self._answers and self._answers[0][0] <= self.now:
            limiter.refuse(self._answers.popleft()[1], self.retry_after, self.told_rate)


def test_an_unknown_account_is_called_gently_and_at_full_speed_within_fifteen_seconds() -> None:
    """The documented limit is 5 calls a second for all programs of an account together."""
    server = Server(limit=10)
    limiter = server.limiter()

    calls = server.call(limiter, 300)

    assert sum(at < calls[0] + 1 for at in calls) == 5
    assert sum(calls[0] + 15 <= at < calls[0] + 16 for at in calls) == 10
    assert server.refusals == []
    assert (limiter.rate, limiter.pace.learned_rate) == (10, None)


@pytest.mark.parametrize("retry_after", [1.0, 30.0, 90.0])
@pytest.mark.parametrize("told_rate", [None, 5.0])
def test_a_lower_limit_costs_one_probe_a_day(retry_after: float, told_rate: float | None) -> None:
    """The next sync knows the rate that was refused, and does not try it again."""
    server = Server(5, retry_after, told_rate)
    limiter = server.limiter()

    calls = server.call(limiter, 1_600)

    pauses = retry_after + 1.1 * len(server.refusals)
    assert calls[-1] - calls[0] <= 1_600 / 5 * 1.06 + pauses
    assert 1 <= len(server.refusals) <= 5
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

    server.set_limit(10)
    later = Pace(known.rate, {rate: age + DAY for rate, age in known.refused.items()})
    limiter = server.limiter(known=later)
    server.call(limiter, 300)
    assert limiter.rate == 10


def test_a_single_refusal_with_a_short_pause_costs_no_rate() -> None:
    """It is jitter on the way: two calls arrived closer than they were sent."""
    server = Server(limit=100)
    limiter = server.limiter(known=Pace(10))
    server.call(limiter, 30)
    margin = limiter.margin_seconds

    refused = limiter.wait_turn()
    limiter.refuse(refused, 1.0)

    assert limiter.rate == 10
    assert margin < limiter.margin_seconds < 0.1
    assert limiter.wait_turn().given_at >= refused.given_at + 1


@pytest.mark.parametrize(("jitter", "most"), [(0.0, 1.02), (0.01, 1.03), (0.03, 1.05), (0.08, 1.1)])
@pytest.mark.parametrize("window", ["sliding", "fixed"])
def test_jitter_is_learned_and_hardly_ever_refused(
    jitter: float, most: float, window: RateWindow
) -> None:
    """Each refusal costs a second; a margin wider than the jitter costs as much in a sync."""
    server = Server(10, window=window, jitter=jitter)
    known = Pace(10)
    for _ in range(4):
        limiter = server.limiter(known=known)
        server.call(limiter, 1_600)
        known = limiter.pace
        server.sleep(600)
    server.refusals.clear()

    for _ in range(5):
        limiter = server.limiter(known=known)
        calls = server.call(limiter, 1_600)
        known = limiter.pace
        server.sleep(600)
        assert calls[-1] - calls[0] <= 160 * most
    assert limiter.rate == 10
    assert len(server.refusals) <= 8


@pytest.mark.parametrize(
    ("pause", "told_rate", "rate"),
    [(3.0, None, 9), (1.0, 5.0, 5), (1.0, 10.0, 10)],
    ids=["a long pause", "a lower limit told", "the same limit told"],
)
def test_the_first_refusal_that_means_it_lowers_the_rate(
    pause: float, told_rate: float | None, rate: float
) -> None:
    """What is accepted tells the limit, and a 429 may say it."""
    server = Server(limit=100)
    limiter = server.limiter(known=Pace(10))
    server.call(limiter, 30)

    limiter.refuse(limiter.wait_turn(), pause, told_rate)

    assert limiter.rate == pytest.approx(rate, abs=0.5)


def test_a_call_counts_from_the_moment_it_left() -> None:
    """One that waited for a connection arrives late, and the calls behind it must not catch up."""
    server = Server(limit=100)
    limiter = server.limiter(known=Pace(10))
    server.call(limiter, 30)

    late = limiter.wait_turn()
    server.sleep(0.07)
    limiter.note_sent(late)
    turns = [limiter.wait_turn() for _ in range(10)]

    assert turns[-1].given_at >= late.sent_at + 1
    assert late.sent_at == pytest.approx(late.given_at + 0.07)


def test_an_account_that_allows_less_than_before_is_found_out_in_seconds() -> None:
    """Jitter takes one call of a second, a lower limit all that come too many."""
    server = Server(limit=5)
    limiter = server.limiter(known=Pace(10))

    calls = server.call(limiter, 100)

    assert limiter.rate == pytest.approx(5, abs=0.5)
    assert calls[-1] - calls[0] <= 100 / 5 + 8
    assert limiter.margin_seconds <= START_MARGIN_SECONDS


def test_a_burst_of_another_program_is_forgotten_after_five_minutes() -> None:
    """At 5 a second, the documented limit, the account is not to blame."""
    server = Server(limit=5)
    limiter = server.limiter(known=Pace(5, {6: 0.0}))
    server.set_limit(2)
    server.call(limiter, 20)
    assert limiter.rate < 4

    server.set_limit(5)
    server.call(limiter, 100)
    assert limiter.rate < 5
    server.sleep(300)
    server.call(limiter, 100)
    assert limiter.rate == 5


def test_a_known_rate_never_exceeds_the_configured_one() -> None:
    """Who lowers the setting means it."""
    assert RateLimiter(4, Pace(9)).rate == 4
    assert RateLimiter(4).rate == 4
