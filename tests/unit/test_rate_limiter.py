"""The window: no second sees more calls than the limit, and hardly any sees fewer.

Time is simulated: a day is as short as a second.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.readings import START_MARGIN_SECONDS, Pace
from acsync.simulator.requests import RateWindow
from tests.support.virtual_account import VirtualAccount


def test_an_unknown_account_is_called_gently_and_at_full_speed_within_fifteen_seconds() -> None:
    """The documented limit is 5 calls per second for all programs of an account together."""
    account = VirtualAccount(10)
    limiter = account.limiter()

    account.call(limiter, 300)

    calls = account.accepted
    assert sum(at < calls[0] + 1 for at in calls) == 5
    assert sum(calls[0] + 15 <= at < calls[0] + 16 for at in calls) == 10
    assert account.refused == []
    assert (limiter.rate, limiter.pace.learned_rate) == (10, None)


@pytest.mark.parametrize(("jitter", "most"), [(0.0, 1.02), (0.01, 1.03), (0.03, 1.05), (0.08, 1.1)])
@pytest.mark.parametrize("window", ["sliding", "fixed"])
def test_jitter_is_learned_and_hardly_ever_refused(
    jitter: float, most: float, window: RateWindow
) -> None:
    """Each refusal costs a second; a margin wider than the jitter costs as much in a sync."""
    account = VirtualAccount(10, window=window, jitter=jitter)
    known = Pace(10)
    for _ in range(4):
        limiter = account.limiter(known=known)
        account.call(limiter, 1_600)
        known = limiter.pace
        account.sleep(600)
    account.refused.clear()

    for _ in range(3):
        limiter = account.limiter(known=known)
        assert account.call(limiter, 1_600) <= 160 * most
        known = limiter.pace
        account.sleep(600)
    assert limiter.rate == 10
    assert len(account.refused) <= 5


def test_a_single_refusal_costs_a_pause_and_no_rate() -> None:
    """It is jitter on the way: two calls arrived closer than they were sent."""
    account = VirtualAccount(100)
    limiter = account.limiter(known=Pace(10))
    account.call(limiter, 30)
    margin = limiter.margin_seconds

    refused = limiter.wait_turn()
    limiter.refuse(refused, 3.0)

    assert limiter.rate == 10
    assert margin < limiter.margin_seconds < 0.1
    assert limiter.wait_turn().given_at >= refused.given_at + 3


def test_a_call_counts_from_the_moment_it_left() -> None:
    """One that waited for a connection arrives late, and later calls must not catch up."""
    account = VirtualAccount(100)
    limiter = account.limiter(known=Pace(10))
    account.call(limiter, 30)

    late = limiter.wait_turn()
    account.sleep(0.07)
    limiter.note_sent(late)
    turns = [limiter.wait_turn() for _ in range(10)]

    assert turns[-1].given_at >= late.sent_at + 1
    assert late.sent_at == pytest.approx(late.given_at + 0.07)


def test_an_account_that_allows_less_than_before_is_found_out_in_seconds() -> None:
    """Jitter takes one call of a second, a lower limit all that come too many."""
    account = VirtualAccount(5)
    limiter = account.limiter(known=Pace(10))

    seconds = account.call(limiter, 100)

    assert limiter.rate == pytest.approx(5, abs=0.5)
    assert seconds <= 100 / 5 + 8
    assert limiter.margin_seconds <= START_MARGIN_SECONDS


def test_a_known_rate_never_exceeds_the_configured_one() -> None:
    """Whoever lowers the setting means it."""
    assert RateLimiter(4, Pace(9)).rate == 4
    assert RateLimiter(4).rate == 4


def test_threads_that_wake_late_cause_no_burst() -> None:
    """The one test in real time: released, not scheduled, times count."""
    limiter, released, lock = RateLimiter(100, Pace(100)), list[float](), threading.Lock()

    def work(_: int) -> None:
        limiter.wait_turn()
        with lock:
            released.append(time.monotonic())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(150)))

    released.sort()
    windows = [after - before for before, after in zip(released, released[100:], strict=False)]
    assert min(windows) >= 1.0
    assert limiter.counts.calls == 150
