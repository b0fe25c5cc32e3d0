"""Learn from refusals how many calls per second an account allows.

A 429 has one of three causes, and each one leaves its own trace in the length of the runs. A run
is the calls between two pauses or changes of the rate.

- The account allows less than the rate. Then every run ends after about the same number of calls:
  what the account allows in one second, or up to twice as many if it counts the clock's seconds.
- Another program uses the same account. Then runs end after any number of calls. A slower rate
  would be refused as often, so the rate stays and only the pause is obeyed.
- Calls arrived closer together than they left. Then a whole second's worth of calls came before
  the refusal, and a wider margin between calls prevents the next one.

Two seconds without a refusal prove a rate, and then the next higher one is tried. A higher rate
that is refused before it is proven is given up at once. A rate that is settled, or documented for
every account, is given up only after several runs in a row of about the same length.
"""

from dataclasses import dataclass

from acsync.readings import Pace, RefusedRate

# What every account allows: https://developers.activecampaign.com/reference/rate-limits
DOCUMENTED_RATE = 5.0
# No account is known that allows less than one call per second.
LEAST_RATE = 1.0

# An account that is not known is called at this share of the configured rate. The rate then rises
# in steps: from 5 to 10 calls per second in ten seconds.
START_SHARE = 0.5
STEP_SHARE = 0.1
PROOF_SECONDS = 2

# A settled rate is given up after this many runs of about the same length. If each costs a long
# pause, fewer have to do.
RUNS = 6
LONG_PAUSE_SECONDS, RUNS_OF_LONG_PAUSES = 5.0, 3
# A first refusal within this many calls of another one may come from the same program.
QUIET_CALLS = 50

# A refused rate is tried again after ten seconds and the pause that was asked for, then after
# ten times as long each time, up to a day.
FIRST_BAR_SECONDS, LONGEST_BAR_SECONDS, BAR_GROWTH = 10.0, 24 * 3600.0, 10

# The margin must come close to the jitter on the way to the server: each refusal costs a second,
# and so do ten calls for each 100 ms of it. A refusal soon after another one triples it, a late
# one widens it by a seventh, and a day of quiet syncs narrows it. With these figures jitter of 0,
# 10, 30 and 80 ms was refused 5 calls in 10,000 at most, once it was learned.
NARROWED_PER_CALL = 5e-5
WIDENED_LEAST, WIDENED_MOST = 0.15, 2.0
SOON_CALLS, LATE_CALLS = 30, 1_000
MIN_MARGIN_SECONDS, MAX_MARGIN_SECONDS = 0.002, 0.12
# The margin after a wide one helped, and after the widest one did not.
JITTER_MARGIN_SECONDS = 0.03
# Wider than most jitter, yet ten calls still leave within a second.
CAREFUL_MARGIN_SECONDS = 0.09


@dataclass(frozen=True)
class Run:
    """The calls after number `before`; `after_pause` tells it from a run after a change."""

    before: int
    began_at: float
    after_pause: bool = True


class Pacing:
    """The rate and the margin of one account, learned from its calls and refusals.

    It has no clock and no lock: each method is told the time in seconds. `known` is the pace at
    the end of an earlier sync. `margin_seconds` are added to each second for jitter.
    """

    def __init__(self, configured_rate: float, known: Pace | None, now: float) -> None:
        self.configured_rate = configured_rate
        start = known.rate if known else max(DOCUMENTED_RATE, configured_rate * START_SHARE)
        self.rate = min(start, configured_rate)
        self.margin_seconds = (known or Pace(self.rate)).margin_seconds
        self._proven_rate = min(self.rate, DOCUMENTED_RATE)
        self._proven_margin = self.margin_seconds
        self._refused = {
            rate: (now - refused.age_seconds, refused.bar_seconds)
            for rate, refused in (known.refused if known else {}).items()
        }
        self._calls = 0
        self._run = Run(0, now)
        self._runs: list[int] = []
        self._careful = False
        self._noise_at = -QUIET_CALLS
        # A known margin has proven itself.
        self._widened_at = -LATE_CALLS if known else 0

    @property
    def window(self) -> int:
        """Return the calls in the second that the server counts; 1 below one call per second."""
        return max(1, int(self.rate))

    @property
    def span_seconds(self) -> float:
        """Return the seconds in which a window of calls is sent."""
        least = CAREFUL_MARGIN_SECONDS if self._careful else 0.0
        return self.window / self.rate + max(self.margin_seconds, least)

    def pace(self, now: float) -> Pace:
        """Return what the next sync of this account begins with."""
        refused = {rate: RefusedRate(now - at, bar) for rate, (at, bar) in self._refused.items()}
        return Pace(self.rate, refused, self.margin_seconds)

    def note_call(self, now: float) -> int:
        """Count a call that leaves now, and return its number."""
        self._calls += 1
        narrowed = self.margin_seconds * (1 - NARROWED_PER_CALL)
        self.margin_seconds = max(narrowed, MIN_MARGIN_SECONDS)
        calls, seconds = self._calls - self._run.before, now - self._run.began_at
        if calls > self._proof_calls and seconds >= self._proof_calls / self.window:
            self._prove()
            self._rise(now)
        return self._calls

    def note_refusal(
        self, call: int, now: float, pause_seconds: float, told_rate: float | None = None
    ) -> None:
        """Learn from a refused call: fall, widen the margin, or take it for another program.

        `call` is its number. `told_rate` is the limit that the response names, if any.
        """
        run = self._run
        if call <= run.before:
            return  # It left before the last pause or change, and says nothing about what follows.
        accepted = call - run.before - 1
        self._run = Run(self._calls, now + pause_seconds)
        if accepted >= self._proof_calls:
            self._runs.clear()
        elif run.after_pause:
            self._runs.append(accepted)
        is_probe = self.rate > self._proven_rate
        is_quiet = self._calls - self._noise_at >= QUIET_CALLS
        rate = self._judge_probe(told_rate, accepted, is_quiet) if is_probe else None
        if (rate := rate or self._judge_runs(pause_seconds)) is not None:
            self._fall(rate, pause_seconds, now)
            return
        # A probe is tried once more, with a margin that leaves no doubt about the jitter.
        self._careful = is_probe and is_quiet
        if self._careful or accepted >= self.window:
            self._widen()
        if not self._careful:
            self._noise_at = self._calls

    def _judge_probe(self, told_rate: float | None, accepted: int, is_quiet: bool) -> float | None:
        """Return what the account allows if a rate that is not proven was too high."""
        if told_rate is not None and told_rate < self.rate:
            return max(told_rate, self._proven_rate)
        # A limit is met by the first calls that are closer together, jitter by any.
        if is_quiet and (self._careful or accepted < self.window / 2):
            return max(self._proven_rate, min(accepted, self.rate - 1))
        return None

    def _judge_runs(self, pause_seconds: float) -> float | None:
        """Return what the account allows if the last runs were about equally long."""
        needed = RUNS if pause_seconds <= LONG_PAUSE_SECONDS else RUNS_OF_LONG_PAUSES
        runs = self._runs[-needed:]
        if len(runs) < needed or min(runs) == 0 or max(runs) > 2 * min(runs) + 1:
            return None
        # By chance, the runs between another program's calls can be equally short.
        return min(max(min(runs), self.rate // 2), self.rate - 1)

    def _fall(self, rate: float, pause_seconds: float, now: float) -> None:
        """Go down to a rate, and do not try the next one above for a while."""
        self._change_rate(max(rate, min(LEAST_RATE, self.configured_rate)))
        self._proven_rate = min(self._proven_rate, self.rate)
        _, bar = self._refused.get(self._next_rate, (0.0, 0.0))
        bar = min(max(FIRST_BAR_SECONDS + pause_seconds, bar * BAR_GROWTH), LONGEST_BAR_SECONDS)
        self._refused[self._next_rate] = now, bar
        # The limit was refused, not the jitter: what the margin was widened by was in vain.
        self.margin_seconds = min(self.margin_seconds, self._proven_margin)
        self._noise_at = self._calls - QUIET_CALLS

    def _widen(self) -> None:
        soon = SOON_CALLS / max(1, self._calls - self._widened_at)
        widened = self.margin_seconds * (1 + min(max(soon, WIDENED_LEAST), WIDENED_MOST))
        if self.margin_seconds * (1 + WIDENED_LEAST) > MAX_MARGIN_SECONDS:
            # Another program is the likely cause.
            widened = JITTER_MARGIN_SECONDS
        self.margin_seconds = min(widened, MAX_MARGIN_SECONDS)
        self._widened_at = self._calls

    @property
    def _proof_calls(self) -> int:
        """Return the calls without a refusal that prove the rate, twice as many after a doubt."""
        was_refused = self.rate >= min(self._refused, default=float("inf"))
        seconds = PROOF_SECONDS * 2 if self._careful or was_refused else PROOF_SECONDS
        return seconds * self.window

    def _prove(self) -> None:
        if self._careful:
            # The wide margin helped, so calls do arrive late.
            self.margin_seconds = max(self.margin_seconds, JITTER_MARGIN_SECONDS)
        self._proven_rate = max(self._proven_rate, self.rate)
        self._proven_margin = self.margin_seconds
        self._careful = False
        self._refused = {rate: bar for rate, bar in self._refused.items() if rate > self.rate}

    def _rise(self, now: float) -> None:
        """Go up one step, unless a rate that was refused is not to be tried again yet."""
        barred = [rate for rate, (at, bar) in self._refused.items() if now < at + bar]
        if self.rate < self._next_rate < min(barred, default=float("inf")):
            self._change_rate(self._next_rate)
            self._run = Run(self._calls, now, after_pause=False)

    @property
    def _next_rate(self) -> float:
        """Return the next rate above. Limits are whole numbers: from 4.5 to 5, and then to 6."""
        step = max(1.0, self.configured_rate * STEP_SHARE)
        return min(self.configured_rate, int(self.rate) + step)

    def _change_rate(self, rate: float) -> None:
        self.rate = rate
        self._careful = False
        self._runs.clear()
