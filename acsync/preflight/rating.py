"""Find out at what rate an account lets itself be called, by a burst that is soon over."""

import time
from concurrent.futures import Future, ThreadPoolExecutor

from acsync.activecampaign.client import MAX_CONNECTIONS, Client
from acsync.activecampaign.responses import Page
from acsync.preflight.checks import Finding
from acsync.preflight.headers import HeaderNotes

CHECK = "rate limit"
KEY_OWNER = "users/me"
"""The cheapest call there is."""

BURST_SECONDS = 2.0
MAX_CALLS = 40
DOCUMENTED_RATE = 5
"""Source: https://developers.activecampaign.com/reference/rate-limits"""


def try_rate(client: Client, notes: HeaderNotes, learned_rate: float | None) -> Finding:
    """Call at the configured rate until a call is refused, for two seconds at most.

    `learned_rate` is what the last sync found, where that was less than configured.
    """
    rate = client.rate_limiter.configured_rate
    answered = _burst(client)
    seen = f"{answered} calls at {rate:g} a second were answered"
    if refused := client.rate_limiter.counts.rate_limited:
        named = "" if notes.rate_limit is None else f", naming a limit of {notes.rate_limit}"
        seen = f"{seen}, {refused} refused as too many{named}."
        return Finding(CHECK, "warning", seen, _slower(notes.rate_limit or DOCUMENTED_RATE))
    if learned_rate is not None and learned_rate < rate:
        seen = f"{seen}, but the last sync was accepted at no more than {learned_rate:.1f}."
        return Finding(CHECK, "warning", seen, _slower(learned_rate))
    return Finding(CHECK, "ok", f"{seen}, none refused.")


def _slower(rate: float) -> str:
    return (
        f"Set AC_RATE_LIMIT={round(rate, 1):g}, or find out what else uses the account's calls. "
        "Left as it is, each sync slows down by itself."
    )


def _burst(client: Client) -> int:
    """Give how many calls were answered; those under way when one is refused wait their pause."""
    rate = client.rate_limiter.configured_rate
    calls: list[Future[Page]] = []
    with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
        while len(calls) < min(BURST_SECONDS * rate, MAX_CALLS):
            if client.rate_limiter.counts.rate_limited:
                break
            calls.append(pool.submit(client.get_page, KEY_OWNER, {}, attempts=1))
            time.sleep(1 / rate)
    return sum(call.exception() is None for call in calls)
