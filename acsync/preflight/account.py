"""Try on an account, in a few dozen calls, what a sync asks of it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from acsync.activecampaign.client import Client
from acsync.activecampaign.pagination import read_listing
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.errors import AccountError
from acsync.models import DATASETS, LISTINGS, Listing
from acsync.preflight.checks import Finding, compare_clocks, from_error
from acsync.preflight.headers import HeaderNotes
from acsync.preflight.rating import CHECK as RATE_LIMIT
from acsync.preflight.rating import KEY_OWNER, try_rate
from acsync.preflight.sampling import inspect_dataset, listed, unreadable
from acsync.settings import Settings

GENTLE_RATE = 2.0
"""Calls a second beside a running sync, which must not be refused any for our sake."""


def inspect_account(
    settings: Settings, learned_rate: float | None, running_sync: str | None
) -> Iterator[Finding]:
    """Look at the key, every collection that a sync reads, the pace and the clock.

    `learned_rate` and the id of a `running_sync` are what the database knows of the account.
    """
    rate = min(settings.rate_limit, GENTLE_RATE) if running_sync else settings.rate_limit
    notes = HeaderNotes()
    client = Client(settings.account_url, settings.api_key, RateLimiter(rate), observe=notes.note)
    with closing(client):
        key = _inspect_key(client, settings.account_host)
        yield key
        if key.standing == "problem":
            return
        for listing in LISTINGS.values():
            yield _inspect_listing(client, listing, settings.page_size)
        for dataset in DATASETS.values():
            yield from inspect_dataset(client, dataset, settings.page_size)
        yield _leave_alone(running_sync) if running_sync else try_rate(client, notes, learned_rate)
        if notes.ahead_seconds is not None:
            yield compare_clocks("clock of ActiveCampaign", notes.ahead_seconds)


def _inspect_key(client: Client, host: str) -> Finding:
    """Ask whose key it is, which needs no permission at all."""
    check = "URL and key"
    try:
        user = client.get_page(KEY_OWNER, {}).rows[0]
    except AccountError as error:
        finding = from_error(check, error)
        return replace(finding, seen=f"{finding.seen} Nothing else of the account was asked for.")
    return Finding(check, "ok", f"{host} knows the key as that of {user.get('username')}.")


def _inspect_listing(client: Client, listing: Listing, page_size: int) -> Finding:
    check, what = f"/{listing.path}", listing.name.replace("_", " ")
    try:
        return listed(check, what, len(read_listing(client, listing, page_size)))
    except AccountError as error:
        return unreadable(check, what, error)


def _leave_alone(running_sync: str) -> Finding:
    return Finding(
        RATE_LIMIT,
        "warning",
        f"Not tried, since {running_sync} is running and needs the account's calls.",
        "Run acsync check again when it has ended.",
    )
