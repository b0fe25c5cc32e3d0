"""Read one response: a whole page with every digit, that answers what was asked, or an error.

A server that ignores a parameter looks healthy, so the order and the sideloads are checked.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from acsync.errors import CallFailed, CallRefused, PaginationError
from acsync.models import Dataset, Record, is_masked


@dataclass(frozen=True)
class Page:
    """One response: its rows, the arrays sideloaded beside them by key, and `meta.total`."""

    rows: list[Record]
    sideloads: dict[str, list[Record]]
    total: int | None


class TransientError(Exception):
    """A response that another attempt may improve.

    `lasting` is the error to raise where no attempt does; `too_long` marks a pause that is longer
    than a sync can wait.
    """

    def __init__(
        self, reason: str, *, lasting: CallRefused | None = None, too_long: bool = False
    ) -> None:
        super().__init__(reason)
        self.lasting = lasting
        self.too_long = too_long


# Paths that answer with one object, and its key; it is read as a page of one row.
SINGLE = {"users/me": "user"}


def read_page(content: bytes, path: str) -> Page:
    """Parse one response; anything but a whole page raises TransientError."""
    key = SINGLE.get(path, path)
    if not content.strip():
        raise TransientError("an empty response with status 200")
    try:
        body = parse_json(content)
    except ValueError:
        raise TransientError("a response that is not whole JSON, with status 200") from None
    except RecursionError:
        raise PaginationError(
            f"ActiveCampaign's response to /{key} nests JSON deeper than can be read. Nothing is "
            "published without it.",
            "Look at the newest custom fields in ActiveCampaign.",
        ) from None
    found = body.get(key) if isinstance(body, dict) else None
    rows = [found] if path in SINGLE else found
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TransientError(f"a response without {key}, with status 200")
    sideloads = {
        name: value for name, value in body.items() if name != key and isinstance(value, list)
    }
    return Page(rows, sideloads, read_total(body.get("meta")))


def parse_json(content: bytes) -> Any:
    """Parse JSON so that every number can be written back with the same digits."""
    return json.loads(content, parse_float=_parse_float, parse_int=_parse_int, parse_constant=str)


def _parse_float(text: str) -> Decimal | str:
    """Keep an exponent of more than 18 digits, which no decimal can hold, as its text."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _parse_int(text: str) -> int | Decimal:
    """Keep what 64 bits cannot hold as a decimal, which orjson's `default` can write."""
    return int(text) if len(text) <= 19 else Decimal(text)


def read_total(meta: object) -> int | None:
    """Return `meta.total`: a string on /contacts, a number on /deals, absent elsewhere."""
    total = meta.get("total") if isinstance(meta, dict) else None
    if total is None:
        return None
    text = str(total).strip() if isinstance(total, str | int) else type(total).__name__
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise TransientError(f"a total that is not a count ({text[:40]!r})")
    return int(text)


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
