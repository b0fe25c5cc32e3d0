"""Write a record as JSON that Postgres can hold, with a hash that tells two records apart."""

import hashlib
from decimal import Decimal
from typing import Any

import orjson

from acsync.datasets import Record
from acsync.errors import PaginationError
from acsync.models import EnrichedRecord

HASH_BYTES = 16
REPLACEMENT = "\ufffd"

# What Postgres' numeric, and so jsonb, holds before and behind the decimal point.
MAX_DIGITS = 131_072
MAX_DECIMALS = 16_383

# What enriching adds to a deal, as in RELATIONS of enricher.py, which would import pandas here.
ENRICHED_KEYS = ("customFields", "pipelineData", "stageData", "ownerData")

# How deep orjson writes nested JSON.
MAX_LEVELS = 254


def encode(record: Record) -> EnrichedRecord:
    """Return a record's JSON with sorted keys, since the API's key order is not fixed.

    What jsonb cannot hold (NUL, half a surrogate pair) is removed and counted. Raises
    PaginationError for a record that cannot be written at all.
    """
    try:
        body, cleaned = _dump(record), 0
    except orjson.JSONEncodeError:
        body, cleaned = None, 0
    if body is None or b"\\u0000" in body:
        body, cleaned = _dump_clean(record)
    digest = hashlib.blake2b(body, digest_size=HASH_BYTES).digest()
    # A copy, since orjson leaves its buffer of eight times the size around what it wrote.
    return EnrichedRecord(int(str(record["id"])), digest, bytes(memoryview(body)), cleaned)


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, default=_write_decimal, option=orjson.OPT_SORT_KEYS)


def _dump_clean(record: Record) -> tuple[bytes, int]:
    cleaner = Cleaner()
    try:
        return _dump(cleaner.clean(record)), cleaner.removed
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise PaginationError(
            f"The record with id {record['id']} cannot be stored as JSON ({error}; {MAX_LEVELS} "
            "levels are possible). Nothing is published without it.",
            "Look at the record in ActiveCampaign.",
        ) from None


def _write_decimal(value: Any) -> Any:
    """Write a number with its digits, as jsonb does; a number too large for jsonb as its text.

    A float would lose digits, and an exponent would make the same number look changed.
    """
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is not JSON")
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAX_DECIMALS:
        return str(value)
    return orjson.Fragment(f"{value:f}") if value.adjusted() < MAX_DIGITS else str(value)


class Cleaner:
    """Copies values without the characters that Postgres cannot hold; `removed` counts them."""

    def __init__(self) -> None:
        self.removed = 0

    def clean(self, value: Any) -> Any:
        """Return a clean copy, however deep; raise RecursionError where that is too deep."""
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if isinstance(value, dict):
            return self._clean_keys(value)
        # orjson writes no integer of more than 64 bits.
        is_long = isinstance(value, int) and value.bit_length() > 63
        return Decimal(value) if is_long else value

    def _clean_keys(self, value: Record) -> Record:
        """Keep both values where two keys become one: the dirty one gets `_` behind it."""
        cleaned: Record = {}
        for key in sorted(value, key=self._is_dirty):
            free = self.clean_text(key)
            while free in cleaned:
                free += "_"
            cleaned[free] = self.clean(value[key])
        return cleaned

    @staticmethod
    def _is_dirty(key: str) -> bool:
        return Cleaner().clean_text(key) != key

    def clean_text(self, text: str) -> str:
        """Return the text without NUL, half surrogate pairs replaced."""
        halves = sum("\ud800" <= letter <= "\udfff" for letter in text)
        if halves:
            text = "".join(
                REPLACEMENT if "\ud800" <= letter <= "\udfff" else letter for letter in text
            )
        self.removed += halves + text.count("\x00")
        return text.replace("\x00", "")


def keep_last_body(stub: Record, last: Record | None) -> Record:
    """Lay a masked deal over its last known body, so that nulls do not destroy a good row."""
    if last is None:
        return stub
    # The last body was cleaned when it was stored: an unclean key would stand beside its own.
    cleaned = {Cleaner().clean_text(key): value for key, value in stub.items()}
    own = {key: value for key, value in cleaned.items() if key not in ENRICHED_KEYS}
    return {**last, **own}
