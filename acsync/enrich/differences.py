"""Name the fields in which a record and its published form differ, never their values."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from acsync.datasets import FIELDS, REFERENCES, DatasetName, Record, RelationName
from acsync.enrich.content import ignored_keys, reduce_value

# A listing and the id of its row, or "tags" and a name.
Name: TypeAlias = tuple[str, str]


def find_differences(
    name: DatasetName, record: Record, published: Record, renamed: Collection[Name] | None = None
) -> tuple[str, ...]:
    """Return the fields in which a record and its published form differ, sorted.

    Counters and links are not compared. Names are compared, except those of `renamed` rows; if
    `renamed` is None, no name is.
    """
    fields = {*_find_content(name, record, published)}
    if renamed is not None:
        fields |= {*_find_names(name, record, published, renamed)}
    return tuple(sorted(fields))


def _find_content(name: DatasetName, record: Record, published: Record) -> Iterator[str]:
    for key in (record.keys() | published.keys()) - ignored_keys(name, record, published):
        was, now = published.get(key), record.get(key)
        is_in_both = key in record and key in published
        if is_in_both and reduce_value(key, was) == reduce_value(key, now):
            continue
        if key in ("customFields", "lists"):
            before, after = _parts(key, was), _parts(key, now)
            parts = before.keys() | after.keys()
            yield from (f"{key}.{part}" for part in parts if before.get(part) != after.get(part))
        else:
            yield "tags" if key == "contactTags" else key


def find_relations(
    relations: Record, published: Record, kinds: Iterable[RelationName], renamed: Collection[Name]
) -> Iterator[str]:
    """Yield the tags and lists in which the relations of a contact differ from its published ones.

    The first element of each entry is a name.
    """
    for kind in kinds:
        was, now = published.get(kind) or {}, relations.get(kind) or {}
        for key in was.keys() | now.keys():
            before, after = was.get(key) or [None], now.get(key) or [None]
            names = {before[0], after[0]}
            is_renamed = (kind, key) in renamed or any((kind, name) in renamed for name in names)
            if before[1:] != after[1:] or not (len(names) == 1 or is_renamed):
                yield "tags" if kind == "tags" else f"lists.{key}"


def _parts(key: str, value: Any) -> dict[str, Any]:
    """Return the content of custom fields by their key, or of memberships by the list's id."""
    if isinstance(value, Mapping):
        return {part: reduce_value(key, {part: entry}) for part, entry in value.items()}
    rows: dict[str, Any] = {}
    for row in value if isinstance(value, list) else ():
        rows.setdefault(str(row.get("id")), []).append(row)
    return {part: reduce_value(key, entries) for part, entries in rows.items()}


def _find_names(
    name: DatasetName, record: Record, published: Record, renamed: Collection[Name]
) -> Iterator[str]:
    """Yield the fields with another name, unless the account has changed it since the sync."""
    before, after = _fields(published), _fields(record)
    for field_id in before.keys() & after.keys():
        if before[field_id] != after[field_id] and (FIELDS[name], field_id) not in renamed:
            yield f"customFields.{next(iter(after[field_id]))}"
    for key, listing, column in REFERENCES if name == "deals" else ():
        row_id = record.get(column)
        is_same_row = row_id == published.get(column) and (listing, str(row_id)) not in renamed
        if is_same_row and record.get(key) != published.get(key):
            yield key
    lists, now = _lists(published), _lists(record)
    for list_id in lists.keys() & now.keys():
        if lists[list_id] != now[list_id] and ("lists", list_id) not in renamed:
            yield f"lists.{list_id}"
    tags = {*(record.get("tags") or ())} ^ {*(published.get("tags") or ())}
    if any(("tags", tag) not in renamed for tag in tags):
        yield "tags"


def _fields(record: Record) -> dict[str, dict[str, Any]]:
    """Return, by field id, the keys of a record's fields with all but their values."""
    fields: dict[str, dict[str, Any]] = {}
    for key, field in (record.get("customFields") or {}).items():
        entry = {part: value for part, value in field.items() if part not in ("value", "currency")}
        fields.setdefault(str(field.get("fieldId")), {})[key] = entry
    return fields


def _lists(record: Record) -> dict[str, Any]:
    return {str(entry.get("id")): entry.get("name") for entry in record.get("lists") or ()}
