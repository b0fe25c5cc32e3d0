"""Faults in answers that look good: missing, repeated or changed rows, totals and values.

To add one, write a function that changes the parsed body of a good answer in place, and pass it
to `body_fault`, or to `rows_fault` if it only needs the rows.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import chain
from random import Random

import orjson

from acsync.datasets import DATASETS, Record
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Answer, Call

SIDELOADS = {dataset.path: dataset.sideload for dataset in DATASETS.values()}


def body_fault(name: str, change: Callable[[Call, Record], object]) -> Fault:
    """Change the body of good answers in place."""

    def reply(call: Call, answer: Answer) -> Answer:
        if answer.data is None or answer.status != 200:
            return answer
        body: Record = orjson.loads(answer.content())
        change(call, body)
        return replace(answer, data=body)

    return Fault(name, reply=reply)


def rows_fault(name: str, change: Callable[[list[Record]], object]) -> Fault:
    """Change the rows of good answers in place."""
    return body_fault(name, lambda call, body: change(body.get(call.path, [])))


# Other questions


def ignore_parameter(*names: str) -> Fault:
    """Ignore these parameters; `orders` includes `orders[id]`."""
    return Fault(f"ignores-{'-'.join(names)}", ask=lambda call: call.without(*names))


def repeat_page() -> Fault:
    """Answer with the first page, whatever the offset or cursor."""
    return replace(ignore_parameter("offset", "id_greater"), name="repeats-page")


def page_cap(rows: int) -> Fault:
    """Send at most this many rows per page, whatever the limit."""
    return Fault(f"pages-of-{rows}", ask=lambda call: replace(call, page_cap=rows))


def everything_at_once() -> Fault:
    """Ignore limit and offset, and send all rows."""

    def ask(call: Call) -> Call:
        asked = call.without("offset")
        return replace(asked, params={**asked.params, "limit": "1000000"}, page_cap=1_000_000)

    return Fault("everything-at-once", ask=ask)


# Totals


def add_to_total(number: int) -> Fault:
    """Add a number to `meta.total`, which stays a text or a number."""

    def change(_call: Call, body: Record) -> None:
        total = body.get("meta", {}).get("total")
        if total is not None:
            body["meta"]["total"] = type(total)(max(int(total) + number, 0))

    return body_fault(f"total-{number:+}", change)


def total_is(value: object) -> Fault:
    """Set `meta.total` to any value, for example a negative number, a word or null."""
    return body_fault("total-is", lambda _, body: body.setdefault("meta", {}).update(total=value))


def without_meta() -> Fault:
    """Remove `meta`, and its `total`."""
    return body_fault("without-meta", lambda _, body: body.pop("meta", None))


def repeat_row() -> Fault:
    """Send the second row of a page twice and omit the first, as ties in an order can do."""

    def change(rows: list[Record]) -> None:
        rows[:1] = rows[1:2]

    return rows_fault("repeats-row", change)


# Sideloads


def reverse_sideload() -> Fault:
    """Reverse the order of the sideloaded objects."""

    def change(call: Call, body: Record) -> None:
        if key := SIDELOADS.get(call.path):
            body.get(key, []).reverse()

    return body_fault("reverses-sideload", change)


# Rows


def unsorted_rows(seed: int = 1) -> Fault:
    """Shuffle the rows of a page."""
    return rows_fault("unsorted-rows", Random(seed).shuffle)


def drop_rows(number: int = 1) -> Fault:
    """Omit the last rows of a page."""

    def change(rows: list[Record]) -> None:
        del rows[max(len(rows) - number, 0) :]

    return rows_fault("drops-rows", change)


def thin_pages(seed: int, share: float) -> Fault:
    """Answer a share of all pages with no rows, only the first rows, or gaps.

    Gaps never occur in two answers in a row, because acsync believes two answers that agree.
    """
    chance, holed = Random(seed), -1

    def change(call: Call, body: Record) -> None:
        nonlocal holed
        rows = body.get(call.path, [])
        kind = chance.choice(["empty", "cut", "holes"]) if chance.random() < share else None
        if kind == "empty":
            rows.clear()
        elif kind == "cut":
            del rows[chance.randint(1, max(len(rows), 1)) :]
        elif kind == "holes" and rows and holed + 1 < call.number:
            rows[:] = [row for row in rows if chance.random() < 0.5] or rows[:1]
            holed = call.number

    return body_fault("thin-pages", change)


# Every text that an account's users or ActiveCampaign choose.
TEXT_KEYS = (
    *("email", "firstName", "lastName", "phone", "orgname", "title", "description", "currency"),
    *("perstag", "fieldLabel", "type", "fieldType", "tag", "name", "username", "label", "value"),
    *("fieldDefault", "fieldOptions", "stringid", "sdate", "cdate", "custom_field_text_value"),
)


def long_texts(letters: int, seed: int = 1) -> Fault:
    """Make every text that is no id or number longer by random letters, which do not compress."""
    more = "".join(map(chr, Random(seed).choices(range(0x4E00, 0x9FFF), k=letters)))

    def change(_call: Call, body: Record) -> None:
        lists = (rows for rows in body.values() if isinstance(rows, list))
        for row in chain.from_iterable(lists):
            for key in TEXT_KEYS if isinstance(row, dict) else ():
                text = row.get(key)
                if isinstance(text, str) and not text.isdigit():
                    row[key] = text + more

    return body_fault("long-texts", change)


def record_without_id() -> Fault:
    """Remove the id of the first row of a page."""
    return rows_fault("record-without-id", lambda rows: [row.pop("id") for row in rows[:1]])


def mask_all() -> Fault:
    """Make a stub of every row, as for a key that can see no pipeline."""

    def change(rows: list[Record]) -> None:
        for row in rows:
            title, status, record = row.get("title"), row.get("status"), row["id"]
            row.clear()
            row.update(title=title, status=status, id=record, isDisabled=True)

    return rows_fault("masks-all", change)


def empty_dataset() -> Fault:
    """Answer with no rows and a total of 0, as for a key that can see nothing."""

    def change(_call: Call, body: Record) -> None:
        body.update({key: [] for key, rows in body.items() if isinstance(rows, list)})
        if "total" in body.get("meta", {}):
            body["meta"]["total"] = type(body["meta"]["total"])(0)

    return body_fault("empty-dataset", change)


# Custom field values


def drop_sideload(share: float = 0.5) -> Fault:
    """Omit a share of the sideloaded objects, although records still name their ids."""

    def change(call: Call, body: Record) -> None:
        values = body.get(SIDELOADS.get(call.path, ""), [])
        del values[int(len(values) * (1 - share)) :]

    return body_fault("drops-sideload", change)


def cut_sideload(most: int, *, across_records: bool = False) -> Fault:
    """Send at most this many sideloaded objects per page.

    The first ones in the order of the records are sent, or ones from all over the page.
    """

    def change(call: Call, body: Record) -> None:
        values = body.get(SIDELOADS.get(call.path, ""), [])
        if across_records:
            values.sort(key=lambda value: int(value["id"]) * 7919 % 1009)
        del values[most:]

    return body_fault("cuts-sideload", change)


def keep_values(count: Callable[[int], int]) -> Fault:
    """Keep only the first values of each record; `count` returns their number for an id.

    Records still name their values of deleted fields.
    """

    def change(call: Call, body: Record) -> None:
        key = SIDELOADS.get(call.path, "")
        values = {value["id"]: value for value in body.get(key, [])}
        for row in body.get(call.path, []):
            kept = [name for name in row.get(key, []) if name in values][: count(int(row["id"]))]
            orphans = [name for name in row.get(key, []) if name not in values]
            row[key] = [*kept, *orphans]
        named = {name for row in body.get(call.path, []) for name in row[key]}
        body[key] = [value for name, value in values.items() if name in named]

    return body_fault("keeps-values", change)


def no_singles(status: int = 404) -> Fault:
    """Answer 404 to requests for a single record, or with status 200 send no values."""

    def reply(call: Call, answer: Answer) -> Answer:
        key = SIDELOADS.get(call.path.partition("/")[0])
        if status != 200 or answer.data is None:
            return Answer(status, {"message": "No Result found"})
        return replace(
            answer, data={name: rows for name, rows in answer.data.items() if name != key}
        )

    return Fault("no-singles", lambda call: "/" in call.path, reply=reply)


def forget_tags(*tags: str) -> Fault:
    """Omit these tags, although contacts refer to them, as if they were deleted."""

    def change(_call: Call, body: Record) -> None:
        body["tags"] = [tag for tag in body.get("tags", []) if tag["id"] not in tags]

    return body_fault("forgets-tags", change).only(lambda call: "tag" in call.params["include"])


def nameless_tags(*tags: str) -> Fault:
    """Send these tags without a name."""

    def change(_call: Call, body: Record) -> None:
        for tag in body.get("tags", []):
            tag["tag"] = None if tag["id"] in tags else tag["tag"]

    return body_fault("nameless-tags", change)


def move_deals(pipeline: str, stage: str) -> Fault:
    """Send all deals in another pipeline and stage."""

    def change(_call: Call, body: Record) -> None:
        for deal in body.get("deals", []):
            deal |= {"group": pipeline, "stage": stage}

    return body_fault("moves-deals", change)


def rename_tag(tag_id: str, name: str) -> Fault:
    """Send a tag with another name."""

    def change(_call: Call, body: Record) -> None:
        for tag in body.get("tags", []):
            tag["tag"] = name if tag["id"] == tag_id else tag["tag"]

    return body_fault("renames-tag", change)


def names_values_as(names: object) -> Fault:
    """Replace the list of value ids in each record that has one."""

    def change(call: Call, body: Record) -> None:
        for row in body.get(call.path, []):
            if (key := SIDELOADS.get(call.path)) in row:
                row[key] = names

    return body_fault("names-values-oddly", change)


def options_are(options: object) -> Fault:
    """Replace the list of choices of each deal field."""

    def change(rows: list[Record]) -> None:
        for row in rows:
            row["fieldOptions"] = options

    return rows_fault("options-are", change).only(lambda call: call.path == "dealCustomFieldMeta")


def sideload_as_object() -> Fault:
    """Send sideloads as PHP does if keys have gaps: `{"0": …, "2": …}`, or `{}`."""

    def change(call: Call, body: Record) -> None:
        if key := SIDELOADS.get(call.path):
            body[key] = {str(2 * place): value for place, value in enumerate(body[key])}

    return body_fault("sideload-as-object", change)


def null_instead_of_no_values() -> Fault:
    """Send null instead of an empty list of values."""

    def change(call: Call, body: Record) -> None:
        key = SIDELOADS.get(call.path, "")
        for row in body.get(call.path, []):
            row[key] = row.get(key) or None

    return body_fault("null-instead-of-no-values", change)


def fields_vanish() -> Fault:
    """Remove all custom field values from the records: both ids and objects."""

    def change(call: Call, body: Record) -> None:
        key = SIDELOADS.get(call.path, "")
        for holder in (body, *body.get(call.path, [])):
            if key in holder:
                holder[key] = []

    return body_fault("fields-vanish", change)


# Tags, lists and values


def keep_few_relations(key: str, contacts: int) -> Fault:
    """Send no tags, or no lists, but for a page's first contacts."""

    def change(_call: Call, body: Record) -> None:
        for row in body.get("contacts", [])[contacts:]:
            gone = set(row[key])
            row[key] = []
            body[key] = [one for one in body[key] if one["id"] not in gone]

    return body_fault(f"few-{key}", change)


def keep_few_values(values: int) -> Fault:
    """Let each record keep its first few values, and name no others."""

    def change(call: Call, body: Record) -> None:
        key = SIDELOADS.get(call.path, "")
        kept: set[str] = set()
        for row in body.get(call.path, []):
            row[key] = row.get(key, [])[:values]
            kept.update(row[key])
        if key:
            body[key] = [value for value in body[key] if value["id"] in kept]

    return body_fault("few-values", change)


def delete_tag(tag: str) -> Fault:
    """Take one tag from every contact, as when a person deletes it."""

    def change(_call: Call, body: Record) -> None:
        _remove_relation(body, "contactTags", "tag", tag)
        body["tags"] = [one for one in body.get("tags", []) if one["id"] != tag]

    return body_fault("deletes-tag", change)


def delete_list(number: str) -> Fault:
    """Take all memberships of one list, as when a person deletes it."""
    return body_fault(
        "deletes-list", lambda _, body: _remove_relation(body, "contactLists", "list", number)
    )


def delete_contact_field(field: str) -> Fault:
    """Take one field's values from every contact, as when a person deletes it."""
    return body_fault(
        "deletes-field", lambda _, body: _remove_relation(body, "fieldValues", "field", field)
    )


def _remove_relation(body: Record, key: str, column: str, number: str) -> None:
    gone = {one["id"] for one in body.get(key, []) if str(one[column]) == number}
    body[key] = [one for one in body.get(key, []) if one["id"] not in gone]
    for row in body.get("contacts", []):
        row[key] = [one for one in row[key] if one not in gone]


def rename_owner_keys(key: str, *owner_keys: str) -> Fault:
    """Send a sideload whose rows name their record under another key."""

    def change(_call: Call, body: Record) -> None:
        for row in body.get(key, []):
            for owner_key in owner_keys:
                row[f"{owner_key}_ref"] = row.pop(owner_key, None)

    return body_fault(f"renames-{key}-owner", change)


# Hidden records


def hide_records(ids: Collection[int]) -> Fault:
    """Leave these records out of all pages, while the total counts them."""
    hidden = {str(one) for one in ids}

    def change(call: Call, body: Record) -> None:
        rows = body.get(call.path, [])
        rows[:] = [row for row in rows if row["id"] not in hidden]

    return body_fault("hides-records", change)


def lag_behind(ids: Collection[int]) -> Fault:
    """Neither show nor count these newest records on pages, as a replica that lags."""

    def ask(call: Call) -> Call:
        offset = call.offset + len(ids) if call.params.get("orders[id]") == "DESC" else call.offset
        return replace(call, params={**call.params, "offset": str(offset)})

    hide, count = hide_records(ids).reply, add_to_total(-len(ids)).reply
    assert hide
    assert count
    return Fault("lags", ask=ask, reply=lambda call, answer: count(call, hide(call, answer)))
