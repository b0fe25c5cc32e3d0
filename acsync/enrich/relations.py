"""Join contacts to their tags and to the lists they are on."""

from collections.abc import Mapping, Sequence

from acsync.datasets import Metadata, Record
from acsync.models import as_list

# "0" and "3" by analogy with the parameter `status` of /contacts; the others are documented.
STATUSES = {"0": "unconfirmed", "1": "active", "2": "unsubscribed", "3": "bounced"}


def join_relations(
    records: Sequence[Record], related: Mapping[str, Sequence[Record]], metadata: Metadata
) -> list[Record]:
    """Return each contact with its `tags` and `lists`, as far as these came along.

    Both are sorted, and so are the ids in the row itself: the API's order must not make a record
    look changed.
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
            **{name: found.get(str(record["id"]), []) for name, found in added.items()},
        }
        for record in records
    ]


def _sorted_ids(ids: object) -> object:
    named = as_list(ids)
    return ids if named is None else sorted(named, key=lambda name: (len(str(name)), str(name)))


def _tags_of(rows: Sequence[Record], tags: Sequence[Record]) -> dict[str, list[object]]:
    """Return the names of each contact's tags, each once, without tags that have no name."""
    # Without a frame: for a page of 100 contacts pandas takes ten times as long.
    names = {str(tag.get("id")): str(tag["tag"]) for tag in tags if tag.get("tag") is not None}
    own: dict[str, set[str]] = {}
    for row in rows:
        if (name := names.get(str(row.get("tag")))) is not None:
            own.setdefault(str(row.get("contact")), set()).add(name)
    return {contact: [*sorted(names_of)] for contact, names_of in own.items()}


def _lists_of(rows: Sequence[Record], lists: Sequence[Record]) -> dict[str, list[object]]:
    """Return each contact's memberships, in the order of the lists' ids."""
    names = {str(row["id"]): row.get("name") for row in lists}
    found: dict[str, list[object]] = {}
    for row in sorted(rows, key=_list_and_id):
        status = str(row.get("status"))
        found.setdefault(str(row.get("contact")), []).append(
            {
                "id": str(row.get("list")),
                "name": names.get(str(row.get("list"))),
                "status": STATUSES.get(status, status),
                "subscribedAt": row.get("sdate"),
                "unsubscribedAt": row.get("udate"),
            }
        )
    return found


def _list_and_id(row: Record) -> tuple[int, str, str]:
    number = str(row.get("list"))
    return len(number), number, str(row.get("id"))
