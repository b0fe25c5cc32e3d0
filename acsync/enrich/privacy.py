"""Leave fields out of records, and replace values by keyed hashes."""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

from acsync.datasets import Record
from acsync.enrich.encoding import Cleaner

# Replaces the value of a field.
Replace: TypeAlias = Callable[[Any], Any]

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
HASH = re.compile(r"[0-9a-f]{64}")

# The place of the reason in the relations of a contact: see acsync.enrich.relations.
REASON = 4


@dataclass(frozen=True)
class Rules:
    """The rules of one dataset, with the ids of its custom fields; `apply` changes records.

    `left_out` and `hashed` are keys of records. With `allowed`, custom fields with other ids are
    left out too. The copy lacks `returning` keys and fields, which earlier rules left out.
    """

    left_out: frozenset[str] = frozenset()
    hashed: Mapping[str, Replace] = field(default_factory=dict)
    fields_left_out: frozenset[str] = frozenset()
    fields_hashed: Mapping[str, Replace] = field(default_factory=dict)
    allowed: frozenset[str] | None = None
    returning: "Rules | None" = None

    @property
    def hides_changes(self) -> bool:
        """Return whether a record can change in a field that is left out."""
        return bool(self.left_out or self.fields_left_out) or self.allowed is not None

    def keeps(self, field_id: str | None) -> bool:
        """Return whether values of a custom field are in the copy, perhaps as hashes."""
        if field_id is None:
            return True
        is_allowed = self.allowed is None or field_id in self.allowed
        return is_allowed and field_id not in self.fields_left_out

    def apply(self, record: Record) -> Record:
        """Remove and replace what the rules name, in this record itself."""
        for key in self.left_out:
            record.pop(key, None)
        for key, replace in self.hashed.items():
            if key in record:
                record[key] = replace(record[key])
        if self.fields_left_out or self.fields_hashed or self.allowed is not None:
            self._apply_to_fields(record.get("customFields") or {})
        return record

    def _apply_to_fields(self, fields: dict[str, Record]) -> None:
        for key, entry in [*fields.items()]:
            field_id = entry.get("fieldId")
            if not self.keeps(field_id):
                del fields[key]
            elif replace := self.fields_hashed.get(str(field_id)):
                entry["value"] = replace(entry["value"])
                if "values" in entry:
                    choices = map(replace, entry["values"])
                    entry["values"] = [choice for choice in choices if choice is not None]

    def apply_to_relations(self, relations: Record) -> Record:
        """Do the same with the tags and memberships of a contact, as the long views show them."""
        for kind in ("tags", "lists"):
            if kind in self.left_out:
                relations.pop(kind, None)
        replace = self.hashed.get("unsubreason")
        if replace or "unsubreason" in self.left_out:
            for entry in relations.get("lists", {}).values():
                entry[REASON] = replace(entry[REASON]) if replace else None
        return relations

    def without_returning(self, record: Record) -> Record:
        """Remove the fields that the copy lacks because of earlier rules."""
        return self.returning.apply(record) if self.returning else record

    def relations_without_returning(self, relations: Record) -> Record:
        """Remove likewise from the relations of a contact."""
        return self.returning.apply_to_relations(relations) if self.returning else relations


def make_hash(key: bytes, *, is_email: bool = False) -> Replace:
    """Return a function that replaces each value by its HMAC-SHA-256, in hexadecimal digits.

    Null and empty values stay. Each choice of several is hashed singly. Email addresses are hashed
    in lower case, and so is everything if `is_email`.
    """
    return partial(_replace, lambda text: _hash(key, text, is_email=is_email))


def make_repeated_hash(key: bytes, *, is_email: bool = False, is_same_key: bool) -> Replace:
    """Return the same for values of which some are hashes already.

    These stay if they were made with the same key, and become null otherwise.
    """

    def replace(text: str) -> str | None:
        if not HASH.fullmatch(text):
            return _hash(key, text, is_email=is_email)
        return text if is_same_key else None

    return partial(_replace, replace)


def _hash(key: bytes, text: str, *, is_email: bool) -> str:
    if is_email or ("@" in text and EMAIL.fullmatch(text)):
        text = text.lower()
    return hmac.digest(key, text.encode(), "sha256").hex()


def _replace(replace: Callable[[str], str | None], value: Any) -> Any:
    """Replace a value, or each part of it, as it is stored: without what Postgres cannot store."""
    if isinstance(value, str):
        value = _clean(value)
        if "||" in value:
            parts = [replace(part) if part else part for part in value.split("||")]
            return "||".join(part for part in parts if part is not None)
        return replace(value) if value else value
    if value is None:
        return None
    if isinstance(value, list):
        return [_replace(replace, item) for item in value]
    if isinstance(value, dict):
        return {name: _replace(replace, item) for name, item in value.items()}
    return replace(_write(value))


def _clean(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return Cleaner().clean_text(text)
    return text.replace("\x00", "")


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{Decimal(value):f}" if isinstance(value, int | Decimal) else str(value)
