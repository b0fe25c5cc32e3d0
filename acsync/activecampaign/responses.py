"""Read one response: a whole page with every digit, that answers what was asked, or an error.

A server that ignores a parameter looks healthy, so the order and the sideloads are checked.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

import msgspec

from acsync.errors import CallRefused, PaginationError
from acsync.models import (
    RELATIONS,
    Dataset,
    Record,
    Relation,
    RelationName,
    is_masked,
)


@dataclass(frozen=True)
class Page:
    """One response: its rows, the arrays sideloaded beside them by key, and `meta.total`."""

    rows: list[Record]
    sideloads: dict[str, list[Record]]
    total: int | None


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
    """Return an array of objects, or None where it is none.

    PHP writes an array with gaps in its keys as an object: `{"0": …, "2": …}`.
    """
    if isinstance(found, dict) and all(str(key).isdigit() for key in found):
        found = list(found.values())
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        return None
    return found


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


def join_includes(dataset: Dataset, relations: Sequence[RelationName]) -> str:
    """Return the parameter `include` for custom field values and relations."""
    return ",".join([dataset.sideload, *(RELATIONS[name].include for name in relations)])


def find_missing_values(
    dataset: Dataset, page: Page, relations: Sequence[RelationName] = ()
) -> dict[int, set[str]]:
    """Return, by record id, the ids of named values that did not come along.

    Those of `relations` have their key before them. A record without the key has no values, and a
    stub of a deal may name what the key cannot see. Raises PaginationError where an array itself
    is missing from a page that should have it.
    """
    seen = [row for row in page.rows if not is_masked(row)]
    missing = _missing_of(dataset, page, seen, dataset.sideload, "")
    for relation in (RELATIONS[name] for name in relations):
        found = _missing_of(dataset, page, seen, relation.key, f"{relation.key} ")
        if relation.beside:
            _require_array(dataset, page, relation.beside, bool(page.sideloads.get(relation.key)))
            _add_unexplained(page, relation, found)
        for record, names in found.items():
            missing.setdefault(record, set()).update(names)
    return missing


def sent_names(dataset: Dataset, page: Page, relations: Sequence[RelationName]) -> set[str]:
    """Return the ids of the values that came along, as `find_missing_values` names them."""
    prefixes = {dataset.sideload: ""}
    for relation in (RELATIONS[name] for name in relations):
        prefixes |= {key: f"{key} " for key in (relation.key, relation.beside) if key}
    return {
        f"{prefix}{value.get('id')}"
        for key, prefix in prefixes.items()
        for value in page.sideloads.get(key, [])
    }


def _missing_of(
    dataset: Dataset, page: Page, rows: Sequence[Record], key: str, prefix: str
) -> dict[int, set[str]]:
    _require_array(dataset, page, key, any(row.get(key) not in ([], {}) for row in rows))
    sent = {str(value.get("id")) for value in page.sideloads.get(key, [])}
    missing = {record_id(row): _named(row, key) - sent for row in rows}
    return {record: {prefix + name for name in names} for record, names in missing.items() if names}


def _require_array(dataset: Dataset, page: Page, key: str, is_named: bool) -> None:
    if is_named and key not in page.sideloads:
        raise PaginationError(
            f"/{dataset.path} sent no {key} beside its records: it ignores include, and what it "
            "asks for would be lost.",
            NOT_PUBLISHED,
        )


def _add_unexplained(page: Page, relation: Relation, missing: dict[int, set[str]]) -> None:
    """Add the rows whose explanation, such as the tag of a contact's tag, did not come."""
    known = {str(row.get("id")) for row in page.sideloads.get(str(relation.beside), [])}
    column = str(relation.beside).removesuffix("s")
    for row in page.sideloads.get(relation.key, []):
        if str(row.get(column)) not in known and str(row.get("contact")).isdigit():
            name = f"{relation.beside} {row.get(column)}"
            missing.setdefault(int(row["contact"]), set()).add(name)


def _named(row: Record, key: str) -> set[str]:
    named = row.get(key) or []
    return {str(name) for name in (named.values() if isinstance(named, dict) else named)}


@dataclass(frozen=True)
class Stray:
    """A sideloaded row that `record` names and that does not name `record` in return."""

    key: str
    row_id: str
    record: str
    owner_keys: Sequence[str]


def find_stray(
    dataset: Dataset, page: Page, relations: Sequence[RelationName] = ()
) -> Stray | None:
    """Return the first sideloaded row that would not land on the record that names it.

    Rows that no record of the page names are ignored: some answers carry rows of other records,
    and a row that was added between the two queries of a page comes again with the next sync.
    """
    owner_keys: dict[str, Sequence[str]] = {dataset.sideload: dataset.owner_keys}
    owner_keys |= {RELATIONS[name].key: ("contact",) for name in relations}
    for key, keys in owner_keys.items():
        owners = {str(row.get("id")): _owner(row, keys) for row in page.sideloads.get(key, [])}
        for row in page.rows:
            record = str(record_id(row))
            for row_id in _named(row, key):
                if owners.get(row_id, record) != record:
                    return Stray(key, row_id, record, keys)
    return None


def _owner(row: Record, keys: Sequence[str]) -> str:
    return str(next((row[key] for key in keys if row.get(key) is not None), None))


def require_landed(dataset: Dataset, page: Page, relations: Sequence[RelationName] = ()) -> None:
    """Raise PaginationError if a sideloaded row would not land on the record that names it."""
    if stray := find_stray(dataset, page, relations):
        raise PaginationError(
            f"/{dataset.path} sent {stray.key} {stray.row_id}, which record {stray.record} names, "
            f"without that record's id in {' or '.join(stray.owner_keys)}: it would be lost.",
            NOT_PUBLISHED,
        )
