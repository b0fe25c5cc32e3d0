"""Read one response: a whole page with every digit, that answers what was asked, or an error.

A server that ignores a parameter looks healthy, so the order and the sideloads are checked.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

import msgspec

from acsync.datasets import Dataset, Record, RelationName
from acsync.errors import CallRefused, PaginationError
from acsync.models import as_list


@dataclass(frozen=True)
class Page:
    """One response: its rows, the sideloaded arrays by key, and `meta.total`.

    `limit` and `relations` are the rows and relations that were asked for, `asked_at` is when, in
    monotonic seconds.
    """

    rows: list[Record]
    sideloads: dict[str, list[Record]]
    total: int | None
    limit: int = 0
    relations: tuple[RelationName, ...] = ()
    asked_at: float = 0.0


class TransientError(Exception):
    """A response that another attempt may improve.

    `lasting` is the error to raise where no attempt does.
    """

    def __init__(self, reason: str, *, lasting: CallRefused | None = None) -> None:
        super().__init__(reason)
        self.lasting = lasting


# The key of one object, asked for as `contacts/7` or `users/me`: it is read as a page of one row.
SINGULAR = {"contacts": "contact", "deals": "deal", "users": "user"}


def read_page(content: bytes, path: str) -> Page:
    """Parse one response; anything but a whole page raises TransientError."""
    collection, is_single, _ = path.partition("/")
    key = SINGULAR[collection] if is_single else path
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
    rows = [found] if is_single and isinstance(found, dict) else as_objects(found)
    if rows is None:
        raise TransientError(f"a response without {key}, with status 200")
    sideloads = {name: as_objects(value) for name, value in body.items() if name != key}
    found_sideloads = {name: objects for name, objects in sideloads.items() if objects is not None}
    return Page(rows, found_sideloads, read_total(body.get("meta")))


def as_objects(found: object) -> list[Record] | None:
    """Return a list of objects, or None if it is anything else."""
    objects = as_list(found)
    if objects is None or not all(isinstance(item, dict) for item in objects):
        return None
    return objects


def parse_json(content: bytes) -> Any:
    """Parse JSON so that every number can be written back with the same digits."""
    try:
        return DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # PHP's may have half a surrogate pair or a byte order mark, which strict JSON has not.
        return json.loads(
            content, parse_float=_parse_float, parse_int=_parse_int, parse_constant=str
        )


def _parse_float(text: str) -> Decimal | str:
    """Keep an exponent of more than 18 digits, which no decimal can hold, as its text."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _parse_int(text: str) -> int | Decimal:
    """Keep a long integer as a decimal: Python refuses to read more than 4,300 digits."""
    return int(text) if len(text) <= 19 else Decimal(text)


# In half the time of json.
DECODER = msgspec.json.Decoder(float_hook=_parse_float)


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
