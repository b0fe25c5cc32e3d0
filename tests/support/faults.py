"""Faults of answers: of HTTP and the network, and of bodies that look good.

To add one that changes a good answer, write a function that changes its parsed body in place,
and pass it to `body_fault`, or to `rows_fault` if it only needs the rows.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

import orjson

from acsync.datasets import DATASETS, Record
from acsync.simulator.fault_injection import Fault, cut_in_half, reply_with
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


# Rows


def unsorted_rows() -> Fault:
    """Shuffle the rows of a page."""
    return rows_fault("unsorted-rows", Random(1).shuffle)


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


def send_no_rows() -> Fault:
    """Leave all rows out, while the total counts them."""
    return rows_fault("sends-no-rows", lambda rows: rows.clear())


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


def hide_records(ids: Collection[int]) -> Fault:
    """Leave these records out of all pages, while the total counts them."""
    hidden = {str(record) for record in ids}

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


# Custom field values


def drop_sideload() -> Fault:
    """Omit half of the sideloaded objects, although records still name their ids."""

    def change(call: Call, body: Record) -> None:
        values = body.get(SIDELOADS.get(call.path, ""), [])
        del values[len(values) // 2 :]

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


def names_values_as(names: object) -> Fault:
    """Replace the list of value ids in each record that has one."""

    def change(call: Call, body: Record) -> None:
        for row in body.get(call.path, []):
            if (key := SIDELOADS.get(call.path)) in row:
                row[key] = names

    return body_fault("names-values-oddly", change)


def fields_vanish() -> Fault:
    """Remove all custom field values from the records: both ids and objects."""

    def change(call: Call, body: Record) -> None:
        key = SIDELOADS.get(call.path, "")
        for holder in (body, *body.get(call.path, [])):
            if key in holder:
                holder[key] = []

    return body_fault("fields-vanish", change)


# HTTP and the network


HTML = b"<html><head><title>%d</title></head><body><h1>Bad gateway</h1>cloudflare</body></html>"


def status(code: int) -> Fault:
    """Answer with this status and a JSON message."""
    data = {"message": f"Simulated status {code}"}
    return Fault(f"status-{code}", reply=reply_with(status=code, data=data))


def html(code: int = 502) -> Fault:
    """Answer with an HTML page of the proxy, as a 502 or even as a 200."""
    reply = reply_with(
        status=code, data=None, body=HTML % code, content_type="text/html; charset=UTF-8"
    )
    return Fault(f"html-{code}", reply=reply)


def forbidden() -> Fault:
    """Answer 403 without content type and body, as for a bad key."""
    return Fault("forbidden", reply=reply_with(status=403, data=None, content_type=None))


def too_many(retry_after: str | int | None = 1) -> Fault:
    """Answer 429 with this `Retry-After`: seconds, an HTTP date, nonsense, or None for none."""
    headers = () if retry_after is None else (("Retry-After", str(retry_after)),)
    reply = reply_with(status=429, data=None, content_type=None, headers=headers)
    return Fault("too-many", reply=reply)


def too_many_until(seconds: float) -> Fault:
    """Answer 429 with the HTTP date that is `seconds` after the answer."""

    def reply(_call: Call, _answer: Answer) -> Answer:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        return Answer(429, content_type=None, headers=(("Retry-After", date),))

    return Fault("too-many-until", reply=reply)


def reset() -> Fault:
    """Drop the connection in the middle of a good answer."""
    return Fault("reset", reply=reply_with(ending="reset"))


def stall(seconds: float = 3600) -> Fault:
    """Send the good answer so late that the caller may have gone."""
    return Fault("stall", reply=reply_with(delay_seconds=seconds))


def drip(seconds: float = 1.0) -> Fault:
    """Send the good answer byte by byte, with pauses too short for a read timeout."""
    return Fault("drip", reply=reply_with(byte_seconds=seconds))


def empty_body() -> Fault:
    """Answer 200 with an empty body, as seen in production."""
    return Fault("empty-body", reply=lambda _call, _answer: Answer())


def cut_off() -> Fault:
    """End the body properly, but in the middle of its JSON, so that only the parser notices."""
    return Fault("cut-off", reply=cut_in_half)


def redirect(location: str = "https://elsewhere.example/api/3/") -> Fault:
    """Redirect the caller, and its key, to another host."""
    headers = (("Location", location),)
    reply = reply_with(status=302, data=None, content_type=None, headers=headers)
    return Fault("redirect", reply=reply)


def bad_network(seed: int, *more: Fault) -> Fault:
    """Answer with one of the faults of proxies, networks and overloaded servers, or of `more`."""
    faults = (html(502), status(503), reset(), empty_body(), cut_off(), forbidden(), *more)
    random = Random(seed)

    def reply(call: Call, answer: Answer) -> Answer:
        change = random.choice(faults).reply
        return change(call, answer) if change else answer

    return Fault("bad-network", reply=reply)


def breaks_on(path: str, record: int) -> Fault:
    """Answer 500 to every page that contains this record, whatever its offset and limit."""

    def reply(call: Call, answer: Answer) -> Answer:
        rows = (answer.data or {}).get(path, []) if call.path == path else []
        held = any(str(row.get("id")) == str(record) for row in rows)
        return Answer(500, {"message": "Simulated broken record"}) if held else answer

    return Fault("breaks-on-a-record", reply=reply)
