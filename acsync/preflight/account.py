"""Check on an account, in about twenty calls, what a sync asks of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice

from acsync.activecampaign.client import Client, Exchange
from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.page import record_id
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.activecampaign.slices import NO_LIMIT, plan_slices
from acsync.activecampaign.walk import Walk, WalkPage
from acsync.datasets import DATASETS, LISTINGS, Dataset, Listing, is_masked
from acsync.errors import AccessDenied, AccountError
from acsync.models import Plan
from acsync.preflight import CheckResult, from_error
from acsync.settings import Settings
from acsync.store.status import RunningSync

KEY_OWNER = "users/me"
DOCUMENTED_RATE = 5  # https://developers.activecampaign.com/reference/rate-limits
# Calls a second beside a running sync, which must not be refused any because of a check.
GENTLE_RATE = 2.0
# The second page is asked for as all others are: by `id_greater`, or by an offset that overlaps.
FIRST_PAGES = 2


def check_account(
    settings: Settings,
    learned_rate: float | None,
    running: RunningSync | None,
    observe: Callable[[Exchange], None] | None = None,
) -> Iterator[CheckResult]:
    """Check the key, every collection that a sync reads, and the rate limit.

    `learned_rate` and `running` are what the database knows of the account's calls; `observe` sees
    every call and its response.
    """
    rate = min(settings.rate_limit, GENTLE_RATE) if running else settings.rate_limit
    key = settings.api_key.get_secret_value()
    limiter = RateLimiter(rate)
    with closing(Client(settings.account_url, key, limiter, observe=observe)) as client:
        try:
            yield _check_key(client, settings.account_host)
        except AccountError as error:
            # All other paths would answer alike.
            yield from_error("URL and key", error)
            return
        names = settings.datasets
        for need in dict.fromkeys(need for name in names for need in settings.needs(name)):
            yield _check_listing(client, LISTINGS[need])
        for name in names:
            yield from _check_dataset(client, DATASETS[name], settings.page_size)
        yield _check_rate_limit(client, settings.rate_limit, learned_rate, running)


def _check_key(client: Client, host: str) -> CheckResult:
    """Ask whose key it is, which needs no permission at all."""
    user = client.get_page(KEY_OWNER, {}).rows[0]
    return CheckResult(
        "URL and key", "ok", f"{host} knows the key as that of {user.get('username')}."
    )


def _check_listing(client: Client, listing: Listing) -> CheckResult:
    check, what = f"/{listing.path}", listing.name.replace("_", " ")
    try:
        return _judge_count(check, what, len(read_listing(client, listing).rows))
    except AccountError as error:
        result = _unreadable(check, what, error)
        return replace(result, status="warning") if listing.optional else result


def _check_dataset(client: Client, dataset: Dataset, page_size: int) -> Iterator[CheckResult]:
    """Read the newest and the oldest pages as a sync does, with all its own checks."""
    walk = Walk(client, dataset, page_size)
    try:
        newest = walk.read_newest()
        plan = plan_slices(dataset, newest, page_size)
        # The first slice of a small account is a single page.
        all_in_one = replace(plan.slices[0], records=NO_LIMIT)
        sample = [newest, *islice(walk.read_slice(all_in_one, plan.page_rows), FIRST_PAGES)]
    except AccountError as error:
        yield _unreadable(f"/{dataset.path}", dataset.name, error)
        return
    yield _judge_pages(dataset, plan, page_size)
    yield _judge_values(dataset, sample)
    if "pipelines" in dataset.needs:
        yield _judge_masked(dataset, sample)


def _check_rate_limit(
    client: Client, configured: float, learned: float | None, running: RunningSync | None
) -> CheckResult:
    """Judge by the calls that were made anyway, and by what the last sync learned."""
    check, counts = "rate limit", client.rate_limiter.counts
    if counts.rate_limited:
        seen = f"{counts.rate_limited} of the {counts.calls} calls of this check were refused."
        return CheckResult(check, "warning", seen, _slow_down(DOCUMENTED_RATE))
    if learned is not None and learned < configured:
        seen = f"The last sync was accepted at no more than {learned:.1f} calls a second."
        return CheckResult(check, "warning", seen, _slow_down(learned))
    seen = f"None of the {counts.calls} calls of this check was refused."
    if running:
        seen += f" They were {GENTLE_RATE:g} a second, because {running.sync_id} is running."
    return CheckResult(check, "ok", seen)


def _slow_down(rate: float) -> str:
    return (
        f"Set AC_RATE_LIMIT={round(rate, 1):g}, or find out what else uses the account's calls. "
        "Left as it is, each sync slows down by itself."
    )


def _unreadable(check: str, what: str, error: AccountError) -> CheckResult:
    """Name the permission that is missing: a key that works may still not see everything."""
    remedy = f"Let the user of AC_API_KEY see the {what}, or take the key of an admin."
    return from_error(check, error, remedy if isinstance(error, AccessDenied) else "")


def _judge_count(check: str, what: str, count: int) -> CheckResult:
    """Warn where there is nothing: a key without permissions sees the same."""
    if count:
        return CheckResult(check, "ok", f"{count:,} {what}.")
    remedy = f"If the account has {what}, let the user of AC_API_KEY see them."
    return CheckResult(check, "warning", f"There are no {what}.", remedy)


def _judge_pages(dataset: Dataset, plan: Plan, page_size: int) -> CheckResult:
    check = f"/{dataset.path}"
    if plan.total is None:
        seen = "It gives no total for a sync to compare its count with."
        return CheckResult(check, "warning", seen, "If it stays, tell ActiveCampaign's support.")
    result = _judge_count(check, dataset.name, plan.total)
    if plan.page_rows >= page_size or result.status != "ok":
        return result
    return CheckResult(
        check,
        "warning",
        f"{result.seen} A page has {plan.page_rows} of the {page_size} asked for.",
        f"Set LIMIT_PER_PAGE={plan.page_rows}: shorter pages mean more calls.",
    )


def _judge_values(dataset: Dataset, sample: Sequence[WalkPage]) -> CheckResult:
    """Warn where no custom field has a value: a key that may not see them gets none."""
    check, records = f"{dataset.name}: custom fields", _count_records(sample)
    values = len({str(value.get("id")) for page in sample for value in page.values})
    seen = f"{values:,} values came with {records:,} sampled records (newest and oldest)."
    if values or not records:
        return CheckResult(check, "ok", seen)
    remedy = "If the account uses custom fields, let the user of AC_API_KEY see them."
    return CheckResult(check, "warning", seen, remedy)


def _judge_masked(dataset: Dataset, sample: Sequence[WalkPage]) -> CheckResult:
    """Warn of masked deals: stubs without the rest of their record."""
    check, records = f"{dataset.name}: masked", _count_records(sample)
    masked = len({record_id(row) for page in sample for row in page.rows if is_masked(row)})
    seen = f"{masked:,} of {records:,} sampled records (newest and oldest) are masked."
    if not masked:
        return CheckResult(check, "ok", seen)
    remedy = (
        "Give the user of AC_API_KEY access to every pipeline. Deals of a deleted pipeline stay "
        "masked."
    )
    return CheckResult(check, "warning", seen, remedy)


def _count_records(sample: Sequence[WalkPage]) -> int:
    return len({number for page in sample for number in page.ids})
