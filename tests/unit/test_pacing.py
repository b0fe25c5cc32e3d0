"""The pace that is learned: near the limit, whoever else uses the account, and rarely refused.

Time is simulated: a day is as short as a second.
"""

from dataclasses import replace
from math import floor

import pytest

from acsync.activecampaign.pacing import LONGEST_BAR_SECONDS, Pacing
from acsync.readings import Pace, RefusedRate
from acsync.simulator.requests import RateWindow
from tests.benchmarks.pace import CALLS, RIVALS, WINDOWS, measure
from tests.support.virtual_account import Rival, VirtualAccount

DAY = 24 * 3600.0
MOST = 1.3


def later(pace: Pace, seconds: float) -> Pace:
    """Return a pace as a sync finds it that begins some seconds after it was kept."""
    refused = {
        rate: replace(refused, age_seconds=refused.age_seconds + seconds)
        for rate, refused in pace.refused.items()
    }
    return replace(pace, refused=refused)


@pytest.mark.parametrize("rival", RIVALS.values(), ids=RIVALS)
@pytest.mark.parametrize("retry_after", [1.0, 30.0])
def test_no_other_program_makes_the_pace_collapse(retry_after: float, rival: Rival) -> None:
    """A refusal that another program caused says nothing about the limit.

    The least time is that of the calls at what is left of the limit, plus the pauses that were
    asked for. A rate is a whole number, so of a constant share only whole calls are counted.
    """
    slow = {}
    for window in WINDOWS:
        for limit in (1, 3, 5, 10):
            outcome = measure(VirtualAccount(limit, retry_after, window=window, rival=rival))
            left = limit * rival.left
            if rival.steady and left > 1:
                least = outcome.least_seconds + CALLS / floor(left) - CALLS / left
                outcome = replace(outcome, least_seconds=least)
            if outcome.of_least > MOST:
                slow[window, limit] = outcome.of_least

    assert slow == {}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("jitter", [0.0, 0.01, 0.03, 0.08])
def test_a_known_account_is_hardly_ever_refused(jitter: float, window: RateWindow) -> None:
    """A lower limit is tried again once a day at most, also where calls arrive late."""
    account = VirtualAccount(5, window=window, jitter=jitter)
    known: Pace | None = None
    for _ in range(5):
        limiter = account.limiter(known=known)
        account.call(limiter, CALLS)
        account.sleep(600)
        known = later(limiter.pace, 600)
    account.refused.clear()

    for _ in range(3):
        limiter = account.limiter(known=known)
        assert account.call(limiter, CALLS) <= CALLS / 5 * 1.1
        account.sleep(600)
        known = later(limiter.pace, 600)
    assert limiter.rate == 5
    assert len(account.refused) <= 3 * CALLS / 1_000


@pytest.mark.parametrize("busy", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("retry_after", [1.0, 30.0])
def test_a_bar_of_a_day_never_comes_from_another_program(busy: float, retry_after: float) -> None:
    """The account allows 10 calls per second, whatever it refuses at times."""
    known: Pace | None = None
    longest = 0.0
    for seed in range(6):
        account = VirtualAccount(10, retry_after, rival=Rival(busy=busy), seed=seed)
        limiter = account.limiter(known=known)
        account.call(limiter, CALLS)
        known = later(limiter.pace, 600)
        bars = [refused.bar_seconds for refused in known.refused.values()]
        longest = max(longest, *bars, 0.0)

    assert longest < LONGEST_BAR_SECONDS / 20


def test_a_refusal_at_the_documented_rate_only_pauses() -> None:
    """Every account allows 5 calls per second, so fewer calls were not too many."""
    pacing = Pacing(5, None, now=0.0)
    for call in range(3):
        pacing.note_call(call * 0.2)

    pacing.note_refusal(call=3, now=0.5, pause_seconds=1.0)

    assert pacing.pace(now=0.5) == Pace(5, {}, pacing.margin_seconds)


def test_runs_of_one_length_reveal_a_limit_below_the_documented_one() -> None:
    """Two calls are accepted after each pause, and never more."""
    account = VirtualAccount(2)
    limiter = account.limiter()

    account.call(limiter, 60)

    assert limiter.rate == 2
    assert len(account.refused) <= 8


def test_a_higher_rate_that_is_refused_waits_ten_times_longer_each_time() -> None:
    """The first refusal may be chance; the fifth is not."""
    known = Pace(5, {6: RefusedRate(age_seconds=20_000, bar_seconds=11_000)})
    account = VirtualAccount(5)
    limiter = account.limiter(known=known)

    account.call(limiter, 100)

    assert len(account.refused) == 1
    assert limiter.pace.refused[6].bar_seconds == LONGEST_BAR_SECONDS


def test_a_rate_that_is_accepted_again_is_no_longer_refused() -> None:
    """Whoever buys more calls has them within a day."""
    account = VirtualAccount(10)
    known = Pace(5, {6: RefusedRate(age_seconds=DAY, bar_seconds=DAY)})
    limiter = account.limiter(known=known)

    account.call(limiter, 300)

    assert limiter.rate == 10
    assert limiter.pace.learned_rate is None


def test_a_limit_that_a_refusal_names_is_believed_until_a_rate_is_proven() -> None:
    """The documented header may be the same for every account."""
    account = VirtualAccount(5, told_rate=5.0)
    limiter = account.limiter(known=Pace(10))
    account.call(limiter, 50)
    assert limiter.rate == 5
    assert len(account.refused) <= 2

    account = VirtualAccount(10, told_rate=5.0, rival=Rival(busy=0.02))
    limiter = account.limiter(known=Pace(10))
    assert account.call(limiter, CALLS) <= CALLS / 10 * 1.2
