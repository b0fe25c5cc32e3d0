"""Recognize forgotten people by keyed hashes of their ids and addresses."""

import hmac
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# The source of a hash: the id of a contact, or an email address.
Mark: TypeAlias = Literal["contact", "address"]


@dataclass(frozen=True)
class Forgotten:
    """The hashes of forgotten contacts and addresses, and the key that made them."""

    key: bytes = field(default=b"", repr=False)
    hashes: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def hash(self, mark: Mark, value: object) -> bytes:
        """Return the hash of an id or an address, whatever its letter case."""
        text = f"{mark} {str(value).strip().lower()}"
        # JSON can contain half a surrogate pair, which UTF-8 cannot.
        return hmac.digest(self.key, text.encode(errors="replace"), "sha256")

    def find(self, mark: Mark, value: object) -> bytes | None:
        """Return the hash of an id or an address if it is forgotten."""
        if not self.hashes or value in (None, ""):
            return None
        digest = self.hash(mark, value)
        return digest if digest in self.hashes else None
