"""Encode a record as JSON that Postgres can store, with a hash to compare records."""

import hashlib
from decimal import Decimal
from typing import Any

import orjson

from acsync.datasets import REFERENCES, Record
from acsync.enrich.redaction import REDACTED, is_redacted, redact
from acsync.errors import PaginationError
from acsync.readings import EnrichedRecord

HASH_BYTES = 16
REPLACEMENT = "\ufffd"

# The most digits that jsonb can store before and after the decimal point.
MAX_DIGITS = 131_072
MAX_DECIMALS = 16_383

# The keys that a sync adds to a deal.
ENRICHED_KEYS = ("customFields", *(key for key, _, _ in REFERENCES), REDACTED)

# The deepest nesting that orjson can write.
MAX_LEVELS = 254


def encode(record: Record, relations: Record | None = None) -> EnrichedRecord:
    """Return a record as JSON with sorted keys, since the API's key order is not fixed.

    Characters that jsonb cannot store (NUL, half a surrogate pair) are removed and counted. Raises
    PaginationError for a record that cannot be encoded at all.
    """
    record_id = int(str(record["id"]))
    body, cleaned = _to_json(record, record_id)
    digest = hashlib.blake2b(body, digest_size=HASH_BYTES)
    if not relations:
        return EnrichedRecord(record_id, digest.digest(), body, cleaned)
    related, removed = _to_json(relations, record_id)
    digest.update(related)
    return EnrichedRecord(record_id, digest.digest(), body, cleaned + removed, related)


def _to_json(value: Record, record_id: int) -> tuple[bytes, int]:
    """Return JSON, and how many characters were removed."""
    try:
        body, cleaned = _dump(value), 0
    except orjson.JSONEncodeError:
        body, cleaned = b"", 0
    if not body or b"\\u0000" in body:
        body, cleaned = _dump_clean(value, record_id)
    # A copy: the result of orjson keeps a buffer of eight times its size alive.
    return bytes(memoryview(body)), cleaned


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, default=_write_decimal, option=orjson.OPT_SORT_KEYS)


def _dump_clean(value: Record, record_id: int) -> tuple[bytes, int]:
    cleaner = Cleaner()
    try:
        return _dump(cleaner.clean(value)), cleaner.removed
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise PaginationError(
            f"The record with id {record_id} cannot be stored as JSON ({error}; {MAX_LEVELS} "
            "levels are possible). Nothing is published without it.",
            "Look at the record in ActiveCampaign.",
        ) from None


def _write_decimal(value: Any) -> Any:
    """Write a number with all its digits, as jsonb does, or as text if jsonb cannot store it.

    A float would lose digits, and an exponent would make an equal number look changed.
    """
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is not JSON")
    if not value:
        value = abs(value)  # jsonb has no negative zero
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAX_DECIMALS:
        return str(value)
    return orjson.Fragment(f"{value:f}") if value.adjusted() < MAX_DIGITS else str(value)


class Cleaner:
    """Copies values without the characters that Postgres cannot store; `removed` counts them."""

    def __init__(self) -> None:
        self.removed = 0

    def clean(self, value: Any) -> Any:
        """Return a clean copy, nested values too; raise RecursionError if they are too deep."""
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        if isinstance(value, dict):
            return self._clean_keys(value)
        # orjson cannot write integers of more than 64 bits.
        is_long = isinstance(value, int) and value.bit_length() > 63
        return Decimal(value) if is_long else value

    def _clean_keys(self, value: Record) -> Record:
        """Keep both values if two keys become equal: the unclean key gets a trailing `_`."""
        cleaned: Record = {}
        for key in sorted(value, key=lambda key: Cleaner().clean_text(key) != key):
            clean_key = self.clean_text(key)
            while clean_key in cleaned:
                clean_key += "_"
            cleaned[clean_key] = self.clean(value[key])
        return cleaned

    def clean_text(self, text: str) -> str:
        """Return the text without NULs, and with half surrogate pairs replaced."""
        halves = sum("\ud800" <= letter <= "\udfff" for letter in text)
        if halves:
            text = "".join(
                REPLACEMENT if "\ud800" <= letter <= "\udfff" else letter for letter in text
            )
        self.removed += halves + text.count("\x00")
        return text.replace("\x00", "")


def keep_last_body(stub: Record, last: Record | None) -> Record:
    """Merge a masked deal into its last known body, so that nulls do not overwrite known values.

    A stub has a title but no contact, so it is redacted if its last body was.
    """
    if last is None:
        return stub
    # The stored body has clean keys: an unclean key of the stub would not replace its clean twin.
    cleaned = {Cleaner().clean_text(key): value for key, value in stub.items()}
    merged = last | {key: value for key, value in cleaned.items() if key not in ENRICHED_KEYS}
    return redact(merged) if is_redacted(last) else merged
