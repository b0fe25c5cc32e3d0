"""Faults that do not show: good-looking answers that are short, stale, or of another question."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random

from acsync.models import DATASETS, Record
from acsync.simulator.breakage import Fault
from acsync.simulator.calls import Answer, Call

SIDELOADS = {dataset.path: dataset.sideload for dataset in DATASETS.values()}


def ignore_parameter(*names: str) -> Fault:
    """Ignore these parameters; `orders` stands for `orders[id]` too."""
    return Fault(f"ignores-{'-'.join(names)}", ask=lambda call: call.without(*names))


def page_cap(rows: int) -> Fault:
    """Clamp pages at so many rows, whatever is asked for."""
    return Fault(f"pages-of-{rows}", ask=lambda call: replace(call, page_cap=rows))


def repeat_page() -> Fault:
    """Give the first page, whichever is asked for."""
    fault = ignore_parameter("offset", "id_greater")
    return replace(fault, name="repeats-page")


def _bend(name: str, change: Callable[[Call, Record], Record]) -> Fault:
    """Change the body of good answers; `change` gets a copy of its top level."""

    def reply(call: Call, answer: Answer) -> Answer:
        if answer.data is None or answer.status != 200:
            return answer
        return replace(answer, data=change(call, dict(answer.data)))

    return Fault(name, reply=reply)


def add_to_total(number: int) -> Fault:
    """Let `meta.total` be wrong by so many, as text or number, whichever it was."""

    def change(_call: Call, body: Record) -> Record:
        total = body.get("meta", {}).get("total")
        if total is None:
            return body
        return {**body, "meta": {**body["meta"], "total": type(total)(int(total) + number)}}

    return _bend(f"total-{number:+}", change)


def total_is(value: object) -> Fault:
    """Let `meta.total` be this: negative, a word, null."""

    def change(_call: Call, body: Record) -> Record:
        return {**body, "meta": {**body.get("meta", {}), "total": value}}

    return _bend("total-is", change)


def without_meta() -> Fault:
    """Leave `meta` out, and `total` with it."""
    return _bend("without-meta", lambda _, body: {k: v for k, v in body.items() if k != "meta"})


def clock_ahead(seconds: float) -> Fault:
    """Let the `Date` of every answer be so many seconds away from the time."""

    def reply(_call: Call, answer: Answer) -> Answer:
        moment = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        return replace(answer, headers=(*answer.headers, ("Date", moment)))

    return Fault("clock-ahead", reply=reply)


def _bend_rows(name: str, change: Callable[[list[Record]], list[Record]]) -> Fault:
    def bend(call: Call, body: Record) -> Record:
        return {**body, call.path: change(body[call.path])} if call.path in body else body

    return _bend(name, bend)


def unsorted_rows(seed: int = 1) -> Fault:
    """Shuffle the rows inside their page."""
    random = Random(seed)  # noqa: S311  # repeatable chance
    return _bend_rows("unsorted-rows", lambda rows: random.sample(rows, len(rows)))


def drop_rows(number: int = 1) -> Fault:
    """Leave out the last rows of a page without a word."""
    return _bend_rows("drops-rows", lambda rows: rows[: max(len(rows) - number, 0)])


def record_without_id() -> Fault:
    """Take the id from a page's first row."""

    def change(rows: list[Record]) -> list[Record]:
        nameless = [{k: v for k, v in row.items() if k != "id"} for row in rows[:1]]
        return nameless + rows[1:]

    return _bend_rows("record-without-id", change)


def mask_all() -> Fault:
    """Make a stub of every row, as for a key that may see no pipeline."""

    def stub(row: Record) -> Record:
        kept = {"title": row.get("title"), "status": row.get("status"), "id": row["id"]}
        return {**kept, "isDisabled": True}

    return _bend_rows("masks-all", lambda rows: [stub(row) for row in rows])


def empty_dataset() -> Fault:
    """Give no row and a total of 0, as for a key that may see nothing."""

    def change(call: Call, body: Record) -> Record:
        empty = {key: [] if isinstance(rows, list) else rows for key, rows in body.items()}
        if call.path in SIDELOADS:
            empty["meta"] = {**body["meta"], "total": type(body["meta"]["total"])(0)}
        return empty

    return _bend("empty-dataset", change)


def drop_sideload(share: float = 0.5) -> Fault:
    """Cut off the sideloaded objects, while the records still name their ids."""

    def change(call: Call, body: Record) -> Record:
        key = SIDELOADS.get(call.path, "")
        values = body.get(key)
        return {**body, key: values[: int(len(values) * (1 - share))]} if values else body

    return _bend("drops-sideload", change)


def fields_vanish() -> Fault:
    """Let no record have a custom field value any more: neither ids nor objects."""

    def change(call: Call, body: Record) -> Record:
        key = SIDELOADS.get(call.path, "")
        if key not in body:
            return body
        rows = [{**row, key: []} if key in row else row for row in body[call.path]]
        return {**body, key: [], call.path: rows}

    return _bend("fields-vanish", change)
