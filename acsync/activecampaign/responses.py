"""Read one answer: a whole page with every digit, or trouble, never less."""

import json
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from acsync.errors import PaginationError
from acsync.models import Record


@dataclass(frozen=True)
class Page:
    """One answer: its rows, the arrays sideloaded beside them by key, and `meta.total`."""

    rows: list[Record]
    sideloads: dict[str, list[Record]]
    total: int | None


class TransientError(Exception):
    """An answer that another attempt may mend.

    `remedy` is there when it would otherwise mean a refusal, `too_long` when the server asks for
    a longer pause than anybody has patience for.
    """

    def __init__(self, reason: str, *, remedy: str = "", too_long: bool = False) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.too_long = too_long


SINGLE = {"users/me": "user"}
"""Paths that answer with one object, and its key; it is read as a page of one row."""


def read_page(content: bytes, path: str) -> Page:
    """Parse one answer without losing a digit; anything but a whole page is trouble."""
    key = SINGLE.get(path, path)
    if not content.strip():
        raise TransientError("an empty answer with status 200")
    try:
        body = parse_json(content)
    except ValueError:
        raise TransientError("an answer that is no whole JSON, with status 200") from None
    except RecursionError:
        raise PaginationError(
            f"ActiveCampaign's answer to /{key} nests JSON deeper than can be read. Nothing is "
            "published without it; look at the newest custom fields in ActiveCampaign."
        ) from None
    found = body.get(key) if isinstance(body, dict) else None
    rows = [found] if path in SINGLE else found
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise TransientError(f"an answer without {key}, with status 200")
    sideloads = {
        name: value for name, value in body.items() if name != key and isinstance(value, list)
    }
    return Page(rows, sideloads, read_total(body.get("meta")))


def parse_json(content: bytes) -> Any:
    """Parse JSON so that every number can be written again as it was."""
    return json.loads(content, parse_float=_parse_float, parse_int=_parse_int, parse_constant=str)


def _parse_float(text: str) -> Decimal | str:
    """Keep an exponent of more than 18 digits, which no decimal takes, as its text."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _parse_int(text: str) -> int | Decimal:
    """Keep what 64 bits cannot hold as a decimal, which orjson's `default` can write."""
    return int(text) if len(text) <= 19 else Decimal(text)


def read_total(meta: object) -> int | None:
    """Read `meta.total`: a string on /contacts, a number on /deals, absent elsewhere."""
    total = meta.get("total") if isinstance(meta, dict) else None
    if total is None:
        return None
    text = str(total).strip() if isinstance(total, str | int) else type(total).__name__
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise TransientError(f"a total that is no count ({text[:40]!r})")
    return int(text)
