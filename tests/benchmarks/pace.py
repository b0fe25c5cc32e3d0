"""Print how long calls take while another program uses the account, in simulated time.

Run it with `python -m tests.benchmarks.pace`, and `--jitter 0.03`, `--known 10` or `--seeds 3` if
you like. Each cell has the seconds over the least possible ones, and the refused calls.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product

from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.readings import Pace
from acsync.simulator.requests import RateWindow
from tests.support.virtual_account import Rival, VirtualAccount

RIVALS = {
    "nobody": Rival(),
    "bursts, 2 % of the time": Rival(busy=0.02),
    "bursts, 5 %": Rival(busy=0.05),
    "bursts, 10 %": Rival(busy=0.10),
    "bursts, 20 %": Rival(busy=0.20),
    "a constant fifth": Rival(steady=0.2),
    "2 % refused at random": Rival(chance=0.02),
    "20 % refused at random": Rival(chance=0.20),
}
LIMITS = (1, 2, 3, 5, 8, 10)
RETRY_AFTER = (1.0, 30.0)
WINDOWS: tuple[RateWindow, ...] = ("sliding", "fixed")
CALLS = 1_600


@dataclass(frozen=True)
class Outcome:
    """One sync: its seconds, the least possible ones, and the calls that were refused.

    The least possible seconds are those of the calls at what is left of the limit, plus the
    pauses that were asked for.
    """

    seconds: float
    least_seconds: float
    refused: int
    limiter: RateLimiter

    @property
    def of_least(self) -> float:
        """Return the seconds over the least possible ones."""
        return self.seconds / self.least_seconds


def measure(
    account: VirtualAccount, configured: float = 10.0, known: Pace | None = None
) -> Outcome:
    """Make as many calls as a large account takes."""
    limiter = account.limiter(configured, known)
    seconds = account.call(limiter, CALLS)
    left = min(account.limit, configured) * account.rival.left
    least = CALLS / left + account.paused_seconds
    return Outcome(seconds, least, len(account.refused), limiter)


def main() -> None:
    """Print a table per pause and window."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--configured", type=float, default=10.0)
    parser.add_argument("--known", type=float, help="the rate at the end of an earlier sync")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    known = Pace(options.known) if options.known else None
    for retry_after, window in product(RETRY_AFTER, WINDOWS):
        say(f"\nRetry-After {retry_after:g}, {window} seconds, at most {options.configured:g}/s\n")
        say("| other program | " + " | ".join(f"{limit}/s" for limit in LIMITS) + " |")
        say("|---|" + "--:|" * len(LIMITS))
        for name, rival in RIVALS.items():
            accounts = partial(
                VirtualAccount,
                retry_after=retry_after,
                window=window,
                jitter=options.jitter,
                latency=options.latency,
                rival=rival,
            )
            cells = [
                cell(
                    measure(accounts(limit, seed=seed), options.configured, known)
                    for seed in range(1, options.seeds + 1)
                )
                for limit in LIMITS
            ]
            say(f"| {name} | " + " | ".join(cells) + " |")


def cell(outcomes: Iterable[Outcome]) -> str:
    """Return the worst outcome, and the calls that it was refused."""
    worst = max(outcomes, key=lambda outcome: outcome.of_least)
    return f"{worst.of_least:.2f} ({worst.refused})"


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
