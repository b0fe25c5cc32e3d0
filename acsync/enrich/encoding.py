"""Write a record as JSON that Postgres can hold, with a hash that tells two records apart."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from acsync.datasets import Record

HASH_BYTES = 16
REPLACEMENT = "\ufffd"


@dataclass(frozen=True)
class EnrichedRecord:
    """A record ready to store: `body` is its JSON; `cleaned` counts removed characters."""

    record_id: int
    hash: bytes
    body: bytes
    cleaned: int


def encode(record: Record) -> EnrichedRecord:
    """Encode with sorted keys, since the API's key order is not fixed.

    What jsonb cannot hold (NUL, half a surrogate pair) is taken out and counted.
    """
    try:
        body, cleaned = _dump(record), 0
    except orjson.JSONEncodeError:
        body, cleaned = None, 0
    if body is None or b"\\u0000" in body:
        counter = _Cleaner()
        body, cleaned = _dump(counter.clean(record)), counter.removed
    digest = hashlib.blake2b(body, digest_size=HASH_BYTES).digest()
    return EnrichedRecord(int(str(record["id"])), digest, body, cleaned)


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, default=_write_decimal, option=orjson.OPT_SORT_KEYS)


def _write_decimal(value: Any) -> Any:
    """Write a number as it was read: a float would lose digits, a string its type."""
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is not JSON")


class _Cleaner:
    """Copy a value without the characters that Postgres cannot hold."""

    def __init__(self) -> None:
        self.removed = 0

    def clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._clean_text(value)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if isinstance(value, dict):
            return {self._clean_text(key): self.clean(item) for key, item in value.items()}
        return value

    def _clean_text(self, text: str) -> str:
        halves = sum("\ud800" <= letter <= "\udfff" for letter in text)
        if halves:
            text = "".join(
                REPLACEMENT if "\ud800" <= letter <= "\udfff" else letter for letter in text
            )
        self.removed += halves + text.count("\x00")
        return text.replace("\x00", "")
