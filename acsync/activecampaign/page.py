"""Parse one response into a page, with every digit of its numbers, or raise an error.

A server that ignores a parameter looks healthy, so the order of the ids is checked too.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import pairwise
from typing import Any

import msgspec

from acsync.datasets import Dataset, Record, RelationName, as_list
from acsync.errors import CallRefused, PaginationError


@dataclass(frozen=True)
class Page:
    """One response: its rows, the sideloaded arrays by key, and `meta.total`.

    `limit` and `relations` are the number of rows and the relations that were requested.
    `asked_at` is the time of the request, in monotonic seconds.
    """

    rows: list[Record]
    sideloads: dict[str, list[Record]]
    total: int | None
    limit: int = 0
    relations: tuple[RelationName, ...] = ()
    asked_at: float = 0.0

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Return the ids of the rows; raise PaginationError if a row has none."""
        return tuple(map(record_id, self.rows))


class TransientError(Exception):
    """A response that another attempt may improve.

    `lasting` is the error to raise if no attempt does.
    """

    def __init__(self, reason: str, *, lasting: CallRefused | None = None) -> None:
        super().__init__(reason)
        self.lasting = lasting


# The key of a single object, such as the answer to `contacts/7`. It is read as a page of one row.
# The answer to `settings/account` has none. That of `dealGroup/…` is a list.
SINGULAR = {
    "contacts": "contact",
    "deals": "deal",
    "users": "user",
    "settings": "",
    "dealGroup": "dealGroups",
}


def read_page(content: bytes, path: str) -> Page:
    """Parse one response; raise TransientError if it is not a whole page."""
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
            f"ActiveCampaign's response to /{key} is nested too deeply to be read. Nothing is "
            "published without it.",
            "Look at the newest custom fields in ActiveCampaign.",
        ) from None
    value = (body.get(key) if key else body) if isinstance(body, dict) else None
    rows = [value] if is_single and isinstance(value, dict) else as_objects(value)
    if rows is None:
        raise TransientError(f"a response without {key}, with status 200")
    arrays = {name: as_objects(value) for name, value in body.items() if name != key}
    sideloads = {name: objects for name, objects in arrays.items() if objects is not None}
    return Page(rows, sideloads, read_total(body.get("meta")))


def as_objects(value: object) -> list[Record] | None:
    """Return a value as a list of objects, or None if it is not one."""
    objects = as_list(value)
    if objects is None or not all(isinstance(item, dict) for item in objects):
        return None
    return objects


def parse_json(content: bytes) -> Any:
    """Parse JSON so that every number can be written back with the same digits."""
    try:
        return DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # PHP can send half a surrogate pair or a byte order mark, which strict JSON forbids.
        return json.loads(
            content, parse_float=_parse_float, parse_int=_parse_int, parse_constant=str
        )


def _parse_float(text: str) -> Decimal | str:
    """Return a decimal, or the text if its exponent is too long for one (over 18 digits)."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _parse_int(text: str) -> int | Decimal:
    """Return a long integer as a decimal: Python parses at most 4,300 digits as an int."""
    return int(text) if len(text) <= 19 else Decimal(text)


# Twice as fast as the json module.
DECODER = msgspec.json.Decoder(float_hook=_parse_float)


def read_total(meta: object) -> int | None:
    """Return `meta.total`: a string on /contacts, a number on /deals, absent elsewhere."""
    total = meta.get("total") if isinstance(meta, dict) else None
    if total is None:
        return None
    text = str(total).strip() if isinstance(total, str | int) else type(total).__name__
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise TransientError("a total that is not a count")
    return int(text)


# Postgres' largest bigint.
LARGEST_ID = 2**63 - 1

NOT_PUBLISHED = "Nothing can be published from such answers. Tell ActiveCampaign's support."


def record_id(row: Record) -> int:
    """Return the id of a row, which most answers send as a string and some as a number."""
    text = str(row.get("id"))
    # Values are joined to their record by the text of its id.
    if not re.fullmatch("[1-9][0-9]{0,18}", text) or int(text) >= LARGEST_ID:
        raise PaginationError("ActiveCampaign sent a record without a usable id.", NOT_PUBLISHED)
    return int(text)


def require_order(dataset: Dataset, ids: Iterable[int], after_id: int) -> None:
    """Raise PaginationError unless the ids ascend and all are greater than `after_id`."""
    for before, after in pairwise((after_id, *ids)):
        if after <= before:
            parameter = "id_greater" if after_id and before == after_id else "orders[id]"
            raise PaginationError(
                f"/{dataset.path} sent id {after} after id {before}: it ignores {parameter}.",
                NOT_PUBLISHED,
            )
