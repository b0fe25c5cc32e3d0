"""Join contacts to their tags and to the lists they are on."""

from collections.abc import Mapping, Sequence

from acsync.datasets import Metadata, Record, as_list

# "1" and "2" are documented; "0" and "3" are the same as in the parameter `status` of /contacts.
STATUSES = {"0": "unconfirmed", "1": "active", "2": "unsubscribed", "3": "bounced"}


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
    return value if ids is None else sorted(ids, key=lambda name: (len(str(name)), str(name)))


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
    for row in sorted(rows, key=_list_and_id):
        status = str(row.get("status"))
        memberships.setdefault(str(row.get("contact")), []).append(
            {
                "id": str(row.get("list")),
                "name": names.get(str(row.get("list"))),
                "status": STATUSES.get(status, status),
                "subscribedAt": row.get("sdate"),
                "unsubscribedAt": row.get("udate"),
            }
        )
    return memberships


def _list_and_id(row: Record) -> tuple[int, str, str]:
    number = str(row.get("list"))
    return len(number), number, str(row.get("id"))
