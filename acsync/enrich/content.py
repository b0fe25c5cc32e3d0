"""Decide whether a record changed, or only the names and counters that come with it."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from acsync.datasets import DATASETS, NOT_CONTENT, DatasetName, Record

# A time with an offset. The same instant can be written with another offset.
INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)", re.ASCII)


def has_same_content(
    name: DatasetName, record: Record, other: Record, *, ignores_date: bool = False
) -> bool:
    """Return whether two forms of a record differ only in what is not its content.

    Names of fields, lists, pipelines, stages, owners and tags are not content. With
    `ignores_date`, the date of the last change is not content: it moves if a field changes that is
    left out.
    """
    ignored = ignored_keys(name, record, other)
    if ignores_date:
        ignored |= {DATASETS[name].date_key}
    keys = record.keys() - ignored
    return keys == other.keys() - ignored and all(
        record[key] == other[key] or reduce_value(key, record[key]) == reduce_value(key, other[key])
        for key in keys
    )


def ignored_keys(name: DatasetName, record: Record, other: Record) -> frozenset[str]:
    """Return the keys that are not content.

    Tags are compared by the ids of their rows, or by name if one form has no ids.
    """
    has_tag_ids = "contactTags" in record and "contactTags" in other
    return NOT_CONTENT[name] | {"tags" if has_tag_ids else "contactTags"}


def has_same_relations(relations: Record, other: Record) -> bool:
    """Return whether tags and memberships differ only in names; either form can lack a kind.

    A kind that is missing was not read, or stored before there were relations.
    """
    return all(
        _without_names(relations[kind]) == _without_names(other[kind])
        for kind in relations.keys() & other.keys()
    )


def _without_names(entries: Record) -> Record:
    return {entry_id: values[1:] for entry_id, values in entries.items()}


def reduce_value(key: str, value: object) -> object:
    """Return the content of a key's value, without names, and with times as instants."""
    return REDUCED.get(key, _instant)(value)


def _instant(value: object) -> object:
    """Return a time with an offset as an instant, and any other value unchanged."""
    if not isinstance(value, str) or not INSTANT.fullmatch(value):
        return value
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return value


def _values(fields: object) -> object:
    """Return id, value and currency of each field; keys, titles and types belong to the field.

    If a field has two values, the later one has the longer key.
    """
    if not isinstance(fields, Mapping):
        return fields
    rows = [
        (str(field.get("fieldId") or key), len(key), field.get("value"), field.get("currency"))
        for key, field in fields.items()
    ]
    rows.sort(key=lambda row: row[:2])
    return [(field_id, _instant(value), currency) for field_id, _, value, currency in rows]


def _memberships(lists: object) -> object:
    """Return the memberships of a contact without the names of the lists."""
    if not isinstance(lists, list):
        return lists
    return [
        {key: _instant(value) for key, value in membership.items() if key != "name"}
        for membership in lists
    ]


# How to reduce the value of a key to its content; other keys can hold times.
REDUCED: dict[str, Callable[[object], object]] = {"customFields": _values, "lists": _memberships}
