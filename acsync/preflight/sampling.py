"""Read a little of a dataset the way a sync walks it, and judge what comes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from acsync.activecampaign.client import Client
from acsync.activecampaign.pagination import Walk, WalkPage
from acsync.activecampaign.planning import plan_slices
from acsync.activecampaign.validation import record_id
from acsync.errors import AccessDenied, AccountError
from acsync.models import Dataset, Plan
from acsync.preflight.checks import Finding, from_error

FIRST_PAGES = 2
"""The second is asked for as all others are: by `id_greater`, or by an offset that overlaps."""


def inspect_dataset(client: Client, dataset: Dataset, page_size: int) -> Iterator[Finding]:
    """Walk the newest and the oldest pages, with all the checks of a sync."""
    walk = Walk(client, dataset, page_size)
    try:
        newest = walk.read_newest()
        plan = plan_slices(dataset, newest, page_size)
        sample = [newest, *islice(walk.read_slice(plan.slices[0]), FIRST_PAGES)]
    except AccountError as error:
        yield unreadable(f"/{dataset.path}", dataset.name, error)
        return
    yield _judge_pages(dataset, plan, page_size)
    yield _judge_values(dataset, sample)
    if "pipelines" in dataset.needs:
        yield _judge_sight(dataset, sample)


def unreadable(check: str, what: str, error: AccountError) -> Finding:
    """Say what a path that is not answered costs; a key that works can still lack a permission."""
    finding = from_error(check, error)
    if not isinstance(error, AccessDenied):
        return finding
    remedy = f"Let the user of AC_API_KEY see the {what}, or take the key of an admin."
    return replace(finding, remedy=remedy)


def listed(check: str, what: str, count: int) -> Finding:
    """Judge how many rows there are: none is what a key sees that may see nothing."""
    if count:
        return Finding(check, "ok", f"{count:,} {what}.")
    remedy = f"If the account has {what}, let the user of AC_API_KEY see them."
    return Finding(check, "warning", f"There are no {what}.", remedy)


def _judge_pages(dataset: Dataset, plan: Plan, page_size: int) -> Finding:
    check = f"/{dataset.path}"
    if plan.total is None:
        seen = "It gives no total for a sync to compare its count with."
        return Finding(check, "warning", seen, "If it stays, tell ActiveCampaign's support.")
    finding = listed(check, dataset.name, plan.total)
    if plan.page_rows >= page_size or finding.standing != "ok":
        return finding
    return Finding(
        check,
        "warning",
        f"{finding.seen} A page has {plan.page_rows} of the {page_size} asked for.",
        f"Set LIMIT_PER_PAGE={plan.page_rows}; a sync makes the more calls, the shorter the pages.",
    )


def _judge_values(dataset: Dataset, sample: Sequence[WalkPage]) -> Finding:
    """Custom fields that cannot be seen look like custom fields that are not there."""
    check, records = f"{dataset.name}: custom fields", _count_records(sample)
    values = len({str(value.get("id")) for page in sample for value in page.values})
    seen = f"{values:,} values came with {records:,} sampled records (newest and oldest)."
    if values or not records:
        return Finding(check, "ok", seen)
    remedy = "If the account uses custom fields, let the user of AC_API_KEY see them."
    return Finding(check, "warning", seen, remedy)


def _judge_sight(dataset: Dataset, sample: Sequence[WalkPage]) -> Finding:
    """Only what stands in a pipeline can be masked: a stub without the rest of its record."""
    check, records = f"{dataset.name}: masked", _count_records(sample)
    masked = len({record_id(row) for page in sample for row in page.rows if row.get("isDisabled")})
    seen = f"{masked:,} of {records:,} sampled records (newest and oldest) are masked."
    if not masked:
        return Finding(check, "ok", seen)
    remedy = (
        "Give the user of AC_API_KEY access to every pipeline. Deals of a deleted pipeline stay "
        "masked."
    )
    return Finding(check, "warning", seen, remedy)


def _count_records(sample: Sequence[WalkPage]) -> int:
    return len({number for page in sample for number in page.ids})
