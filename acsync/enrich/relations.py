"""Join contacts to their tags and to the lists they are on."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from acsync.datasets import Metadata, Record, RelationName, as_list, id_order
from acsync.enrich.encoding import Cleaner

# "1" and "2" are documented; "0" and "3" are the same as in the parameter `status` of /contacts.
STATUSES = {"0": "unconfirmed", "1": "active", "2": "unsubscribed", "3": "bounced"}

# So that an id always fits into a bigint of Postgres.
MAX_ID_DIGITS = 18


def join_relations(
    records: Sequence[Record], related: Mapping[str, Sequence[Record]], metadata: Metadata
) -> list[Record]:
    """Return each contact with its `tags` and `lists`, if these were sideloaded.

    Both are sorted, and so are their ids in the contact: another order from the API must not make
    a record look changed.
    """
    added: dict[str, dict[str, list[object]]] = {}
    if "contactTags" in related:
        added["tags"] = _tags_of(related["contactTags"], related["tags"])
    if "contactLists" in related:
        added["lists"] = _lists_of(related["contactLists"], metadata.get("lists", ()))
    return [
        {
            **record,
            **{key: _sorted_ids(record[key]) for key in related if key in record},
            **{name: by_contact.get(str(record["id"]), []) for name, by_contact in added.items()},
        }
        for record in records
    ]


def _sorted_ids(value: object) -> object:
    ids = as_list(value)
    return value if ids is None else sorted(ids, key=id_order)


def _tags_of(rows: Sequence[Record], tags: Sequence[Record]) -> dict[str, list[object]]:
    """Return the distinct names of each contact's tags; a tag without a name is left out."""
    # No frame: pandas takes ten times as long for a page of 100 contacts.
    names = tag_names(tags)
    tags_of: dict[str, set[str]] = {}
    for row in rows:
        if (name := names.get(str(row.get("tag")))) is not None:
            tags_of.setdefault(str(row.get("contact")), set()).add(name)
    return {contact: [*sorted(contact_tags)] for contact, contact_tags in tags_of.items()}


def tag_names(tags: Sequence[Record]) -> dict[str, str]:
    """Return the names of tags by id, without those that have none."""
    return {str(tag.get("id")): str(tag["tag"]) for tag in tags if tag.get("tag") is not None}


def _lists_of(rows: Sequence[Record], lists: Sequence[Record]) -> dict[str, list[object]]:
    """Return the lists that each contact is on, in the order of the lists' ids."""
    names = {str(row["id"]): row.get("name") for row in lists}
    memberships: dict[str, list[object]] = {}
    for row in sorted(rows, key=lambda row: (id_order(row.get("list")), str(row.get("id")))):
        memberships.setdefault(str(row.get("contact")), []).append(
            {
                "id": str(row.get("list")),
                "name": names.get(str(row.get("list"))),
                "status": _status(row),
                "subscribedAt": row.get("sdate"),
                "unsubscribedAt": row.get("udate"),
            }
        )
    return memberships


def relations_of(related: Mapping[str, Sequence[Record]], metadata: Metadata) -> dict[str, Record]:
    """Return what the long views show of each contact: its `tags` and `lists`, by their ids.

    A tag has its name and when it was added. A list has its name, the status, when the contact
    subscribed and unsubscribed, and why. Times are seconds since 1970: small, and quick to read.
    """
    relations: dict[str, Record] = {}
    tags = _clean_names(tag_names(related.get("tags", ())))
    for row in related.get("contactTags", ()):
        if (tag_id := str(row.get("tag"))) in tags:
            entries = _entries_of(relations, row, "tags")
            _, known = entries.get(tag_id, (None, None))
            times = [time for time in (known, _seconds(row.get("cdate"))) if time is not None]
            entries[tag_id] = [tags[tag_id], min(times, default=None)]
    lists = _clean_names({str(row["id"]): row.get("name") for row in metadata.get("lists", ())})
    # Of two memberships of one list, the newer one counts.
    for row in sorted(related.get("contactLists", ()), key=lambda row: id_order(row.get("id"))):
        if _is_id(list_id := str(row.get("list"))):
            entries = _entries_of(relations, row, "lists")
            entries[list_id] = [lists.get(list_id), *_membership(row)]
    return relations


def _clean_names(names: Mapping[str, object]) -> dict[str, str | None]:
    """Return names as the record has them; there, their removed characters are counted."""
    clean = Cleaner().clean_text
    return {
        key: None if name is None else clean(str(name))
        for key, name in names.items()
        if _is_id(key)
    }


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_ID_DIGITS


def _entries_of(relations: dict[str, Record], row: Record, kind: RelationName) -> Record:
    entries: Record = relations.setdefault(str(row.get("contact")), {}).setdefault(kind, {})
    return entries


def _status(row: Record) -> str | None:
    status = row.get("status")
    return None if status is None else STATUSES.get(str(status), str(status))


def _membership(row: Record) -> list[object]:
    reason = row.get("unsubreason")
    return [
        _status(row),
        _seconds(row.get("sdate")),
        _seconds(row.get("udate")),
        None if reason in (None, "") else str(reason),
    ]


def _seconds(value: object) -> int | None:
    """Return a time with an offset as seconds since 1970, and any other value as None."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return None if moment.tzinfo is None else int(moment.timestamp())
