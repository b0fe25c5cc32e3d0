"""Check that a page answers what was asked, since an ignored parameter looks like an answer."""

from collections.abc import Iterable
from itertools import pairwise

from acsync.errors import CallFailed, PaginationError
from acsync.models import Dataset, Record

LARGEST_ID = 2**63 - 1
"""Postgres' largest bigint."""


def record_id(row: Record) -> int:
    """Read a row's id, a string in most answers and a number in some."""
    try:
        number = int(str(row.get("id")))
    except ValueError:
        number = 0
    if not 0 < number < LARGEST_ID:
        raise PaginationError(
            f"ActiveCampaign sent a record without a usable id ({str(row.get('id'))[:40]!r}). "
            "Nothing is published from such a walk; tell ActiveCampaign's support."
        )
    return number


def require_order(dataset: Dataset, ids: Iterable[int], behind: int) -> None:
    """Raise PaginationError unless the ids ascend from behind the one the reader had reached."""
    for before, after in pairwise((behind, *ids)):
        if after <= before:
            what = "id_greater" if behind and before == behind else "orders[id]"
            raise PaginationError(
                f"/{dataset.path} gave id {after} behind id {before}: it ignores {what}. "
                "Nothing can be published from this walk."
            )


def require_sideload(dataset: Dataset, rows: list[Record], values: list[Record]) -> None:
    """Every value that a record names must have come along; a stub of a deal names none."""
    sent = {str(value.get("id")) for value in values}
    for row in rows:
        named = row.get(dataset.sideload)
        if named is None and not row.get("isDisabled"):
            raise PaginationError(
                f"/{dataset.path} sent record {row['id']} without {dataset.sideload}: it ignores "
                "include. Custom fields would be lost."
            )
        if missing := {str(name) for name in named or ()} - sent:
            raise CallFailed(
                f"/{dataset.path} sent record {row['id']} without {len(missing)} of its "
                f"{dataset.sideload}. The page is read again."
            )


def require_possible(dataset: Dataset, total: int | None, newest_id: int) -> None:
    """Raise CallFailed for more records than there can be ids: it would be planned for."""
    if total is not None and total > newest_id:
        raise CallFailed(
            f"/{dataset.path} counts {total:,} records, but the newest has id {newest_id}. A total "
            "that high cannot be trusted; it is asked for again."
        )
