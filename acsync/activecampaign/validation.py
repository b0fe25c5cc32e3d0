"""Check that a page answers what was asked: a server that ignores a parameter looks healthy."""

from collections.abc import Iterable
from itertools import pairwise

from acsync.errors import CallFailed, PaginationError
from acsync.models import Dataset, Record, is_masked

# Postgres' largest bigint.
LARGEST_ID = 2**63 - 1

NOT_PUBLISHED = "Nothing can be published from such answers; tell ActiveCampaign's support."


def record_id(row: Record) -> int:
    """Return a row's id, which is a string in most answers and a number in some."""
    try:
        number = int(str(row.get("id")))
    except ValueError:
        number = 0
    if not 0 < number < LARGEST_ID:
        raise PaginationError(
            f"ActiveCampaign sent a record without a usable id ({str(row.get('id'))[:40]!r}).",
            NOT_PUBLISHED,
        )
    return number


def require_order(dataset: Dataset, ids: Iterable[int], behind: int) -> None:
    """Raise PaginationError unless the ids ascend from behind the id that was reached."""
    for before, after in pairwise((behind, *ids)):
        if after <= before:
            what = "id_greater" if behind and before == behind else "orders[id]"
            raise PaginationError(
                f"/{dataset.path} gave id {after} behind id {before}: it ignores {what}.",
                NOT_PUBLISHED,
            )


def require_sideload(dataset: Dataset, rows: list[Record], values: list[Record]) -> None:
    """Raise unless every value that a record names came along; a stub of a deal names none."""
    sent = {str(value.get("id")) for value in values}
    for row in rows:
        named = row.get(dataset.sideload)
        if named is None and not is_masked(row):
            raise PaginationError(
                f"/{dataset.path} sent record {row['id']} without {dataset.sideload}: it ignores "
                "include, and custom fields would be lost.",
                NOT_PUBLISHED,
            )
        if missing := {str(name) for name in named or ()} - sent:
            raise CallFailed(
                f"/{dataset.path} sent record {row['id']} without {len(missing)} of its "
                f"{dataset.sideload}.",
                "Sync again; if it stays, tell ActiveCampaign's support.",
            )


def require_plausible_total(dataset: Dataset, total: int | None, newest_id: int) -> None:
    """Raise CallFailed for more records than there can be ids: slices would be made for them."""
    if total is not None and total > newest_id:
        raise CallFailed(
            f"/{dataset.path} counts {total:,} records, but the newest has id {newest_id}.",
            "Sync again; if it stays, tell ActiveCampaign's support.",
        )
