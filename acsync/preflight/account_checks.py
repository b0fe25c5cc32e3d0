"""Check an account in about twenty calls: the key, the permissions and how it answers."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice

from acsync.activecampaign.client import Client, Exchange
from acsync.activecampaign.deal_activities import PATH as ACTIVITIES
from acsync.activecampaign.deal_activities import FilterIgnored, probe_order, start_readings
from acsync.activecampaign.listings import read_listing
from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.pacing import DOCUMENTED_RATE
from acsync.activecampaign.page import record_id
from acsync.activecampaign.page_reader import PageReader
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.activecampaign.slices import NO_LIMIT, plan_slices
from acsync.activecampaign.walk import Walk, WalkPage
from acsync.datasets import DATASETS, LISTINGS, Dataset, DatasetName, Listing, Record, is_masked
from acsync.errors import AccessDenied, AccountError
from acsync.preflight.account_answers import (
    answer_about,
    answer_clock,
    answer_currencies,
    answer_hidden_pipelines,
    answer_time_zone,
)
from acsync.preflight.check_result import CheckResult, from_error
from acsync.preflight.database_checks import Known
from acsync.readings import ALL_TYPES, ActivityOrder, Plan
from acsync.settings import Settings
from acsync.spelling import spell_count
from acsync.store.sync_status import RunningSync

KEY_OWNER = "users/me"
# People wait for this answer, and can check again. A sync makes four attempts.
KEY_ATTEMPTS = 2
# Calls per second while a sync is running, so that the check does not use up its limit.
GENTLE_RATE = 2.0
# The second page is requested like every later one: by `id_greater`, or by an overlapping offset.
FIRST_PAGES = 2


def check_account(
    settings: Settings, known: Known, observe: Callable[[Exchange], None] | None = None
) -> Iterator[CheckResult]:
    """Check the key, every collection that a sync reads, and the rate limit.

    `observe` is called with every request and its response.
    """
    rate = min(settings.rate_limit, GENTLE_RATE) if known.running else settings.rate_limit
    key = settings.api_key.get_secret_value()
    client = Client(settings.account_url, key, RateLimiter(rate), observe=observe)
    yield from check_with(client, settings, known)


def check_with(client: Client, settings: Settings, known: Known) -> Iterator[CheckResult]:
    """Check the account of this client, and close it."""
    with closing(client):
        try:
            # The user who owns the key, which needs no permission.
            user = client.get_page(KEY_OWNER, {}, KEY_ATTEMPTS).rows[0]
        except AccountError as error:
            # Every other path would fail in the same way.
            yield from_error("URL and key", error)
            return
        seen = f"{settings.account_host} accepts the key of {user.get('username')}."
        yield CheckResult("URL and key", "ok", seen)
        names = settings.datasets
        for need in dict.fromkeys(need for name in names for need in settings.needs(name)):
            yield _check_listing(client, LISTINGS[need])
        sampled: dict[DatasetName, list[Record]] = {}
        for name in names:
            least = round((1 - settings.max_shrink) * known.published.get(name, 0))
            results = _check_dataset(client, DATASETS[name], settings.page_size, least)
            sampled[name] = yield from results
        if deals := sampled.get("deals"):
            yield answer_hidden_pipelines(client, user, deals)
            yield answer_currencies(deals, known.digits)
        if settings.deal_events:
            yield from _check_deal_events(client)
        if rows := [row for rows in sampled.values() for row in rows]:
            yield answer_time_zone(user, rows)
        yield answer_clock(client)
        yield _check_rate_limit(client, settings.rate_limit, known.learned_rate, known.running)


def _check_listing(client: Client, listing: Listing) -> CheckResult:
    check, what = f"/{listing.path}", listing.name.replace("_", " ")
    try:
        return _judge_count(check, what, len(read_listing(client, listing).rows))
    except AccountError as error:
        result = _unreadable(check, what, error)
        return replace(result, status="warning") if listing.optional else result


def _check_dataset(
    client: Client, dataset: Dataset, page_size: int, least: int
) -> Generator[CheckResult, None, list[Record]]:
    """Read the newest and the oldest pages as a sync does, with all of its checks.

    Returns their rows.
    """
    walk = Walk(PageReader(client, page_size, MissingValues(dataset)))
    try:
        newest = walk.read_newest()
        plan = plan_slices(dataset, newest, page_size)
        # The first slice of a small account is a single page.
        all_in_one = replace(plan.slices[0], records=NO_LIMIT)
        sample = [newest, *islice(walk.read_slice(all_in_one, plan.page_rows), FIRST_PAGES)]
    except AccountError as error:
        yield _unreadable(f"/{dataset.path}", dataset.name, error)
        return []
    yield _judge_pages(dataset, plan, page_size, least)
    yield _judge_values(dataset, sample)
    if "pipelines" in dataset.needs:
        yield _judge_masked(dataset, sample)
    rows = [row for page in sample for row in page.rows]
    if rows:
        yield from answer_about(client, dataset, rows, plan.total, plan.page_rows)
    return rows


def _check_deal_events(client: Client) -> Iterator[CheckResult]:
    """Find out whether the filter works and in which order the activities of deals come."""
    check = f"/{ACTIVITIES}"
    try:
        readings = start_readings(client)
        orders = [probe_order(client, reading) for reading in readings]
    except (AccountError, FilterIgnored) as error:
        seen = error.message if isinstance(error, AccountError) else "The filter works only partly."
        remedy = "Let the user of AC_API_KEY see the activities of deals. Syncs go on without them."
        yield CheckResult(check, "warning", seen, remedy)
        return
    total = sum(count for _, count in orders)
    yield CheckResult(
        f"{check}: filter",
        "ok",
        f"It is ignored, so syncs read all {total:,} activities."
        if readings[0].data_type == ALL_TYPES
        else f"It works, so syncs read the {total:,} changes of stage and status only.",
    )
    yield _judge_order(f"{check}: order", {order for order, _ in orders})


def _judge_order(check: str, orders: set[ActivityOrder]) -> CheckResult:
    if "none" not in orders:
        seen = f"By id, {' and '.join(sorted(orders))}: a sync continues where the last one ended."
        return CheckResult(check, "ok", seen)
    return CheckResult(
        check,
        "warning",
        "The activities come in no order, so only reading all of them several times shows that "
        "none is missing. Many are read once a day.",
        "If that takes too many calls, leave deal_events out of ACSYNC_DATASETS.",
    )


def _check_rate_limit(
    client: Client, configured: float, learned: float | None, running: RunningSync | None
) -> CheckResult:
    """Judge from the calls made so far and from what the last sync learned."""
    check, counts = "rate limit", client.rate_limiter.counts
    if counts.rate_limited:
        seen = f"{counts.rate_limited} of the {counts.calls} calls of this check were refused."
        return CheckResult(check, "warning", seen, _slow_down(DOCUMENTED_RATE))
    if learned is not None and learned < configured:
        seen = f"The last sync found that the account allows about {learned:.1f} calls per second."
        return CheckResult(check, "warning", seen, _slow_down(learned))
    seen = f"None of the {counts.calls} calls of this check was refused."
    if running:
        seen += (
            f" They were made at {GENTLE_RATE:g} per second, because {running.sync_id} is running."
        )
    return CheckResult(check, "ok", seen)


def _slow_down(rate: float) -> str:
    return (
        f"Set AC_RATE_LIMIT={round(rate, 1):g}, or find out which other programs use the account. "
        "Until then every sync has to slow down."
    )


def _unreadable(check: str, what: str, error: AccountError) -> CheckResult:
    """Name the missing permission: a valid key can still lack access to some data."""
    remedy = f"Let the user of AC_API_KEY see the {what}, or use the key of an admin."
    return from_error(check, error, remedy if isinstance(error, AccessDenied) else "")


def _judge_count(check: str, what: str, count: int) -> CheckResult:
    """Warn if the list is empty: a key without permissions also gets an empty list."""
    if count:
        return CheckResult(check, "ok", f"{count:,} {what}.")
    remedy = f"If the account has {what}, let the user of AC_API_KEY see them."
    return CheckResult(check, "warning", f"There are no {what}.", remedy)


def _judge_pages(dataset: Dataset, plan: Plan, page_size: int, least: int) -> CheckResult:
    """Judge the total and the page size; a sync refuses to publish fewer than `least` records."""
    check = f"/{dataset.path}"
    if plan.total is None:
        seen = "The response has no total, so a sync cannot compare its count."
        return CheckResult(
            check, "warning", seen, "If this happens again, contact ActiveCampaign's support."
        )
    if plan.total < least:
        return CheckResult(
            check,
            "problem",
            f"{plan.total:,} {dataset.name}; a sync publishes no fewer than {least:,}, because of "
            "ACSYNC_MAX_SHRINK and what is published now.",
            f"Let the user of AC_API_KEY see all {dataset.name}. If the loss is right, run: "
            f"acsync sync --only {dataset.name} --accept-shrink",
        )
    result = _judge_count(check, dataset.name, plan.total)
    if plan.page_rows >= page_size or result.status != "ok":
        return result
    return CheckResult(
        check,
        "warning",
        f"{result.seen} A page has {plan.page_rows} of the {page_size} requested rows.",
        f"Set LIMIT_PER_PAGE={plan.page_rows}: shorter pages mean more calls.",
    )


def _judge_values(dataset: Dataset, sample: Sequence[WalkPage]) -> CheckResult:
    """Warn if no custom field has a value: a key without permission to see them gets none."""
    check, records = f"{dataset.name}: custom fields", _count_sampled(sample)
    values = len({str(value.get("id")) for page in sample for value in page.values})
    seen = (
        f"{spell_count(values, 'value')} came with "
        f"{spell_count(records, 'sampled record')} (newest and oldest)."
    )
    if values or not records:
        return CheckResult(check, "ok", seen)
    remedy = "If the account uses custom fields, let the user of AC_API_KEY see them."
    return CheckResult(check, "warning", seen, remedy)


def _judge_masked(dataset: Dataset, sample: Sequence[WalkPage]) -> CheckResult:
    """Warn of masked deals: ActiveCampaign sends only stubs of them."""
    check, records = f"{dataset.name}: masked", _count_sampled(sample)
    masked = len({record_id(row) for page in sample for row in page.rows if is_masked(row)})
    verb = "is" if masked == 1 else "are"
    seen = f"{masked:,} of {records:,} sampled records (newest and oldest) {verb} masked."
    if not masked:
        return CheckResult(check, "ok", seen)
    remedy = (
        "Give the user of AC_API_KEY access to every pipeline. Deals of a deleted pipeline stay "
        "masked."
    )
    return CheckResult(check, "warning", seen, remedy)


def _count_sampled(sample: Sequence[WalkPage]) -> int:
    return len({number for page in sample for number in page.ids})
