"""Find the record that makes a page fail, so that a person can look at it."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from acsync.errors import CallFailed

# The start of a page: at `offset`, or after the id `id_greater`.
Position: TypeAlias = Mapping[str, int]

# Requests a number of rows at a position once and returns their ids; raises CallFailed.
ReadIds: TypeAlias = Callable[[Position, int], tuple[int, ...]]

MAX_SECONDS = 120.0


def advance(position: Position, ids: Sequence[int]) -> Position:
    """Return the position after the rows with these ids, which were read from `position`."""
    if "id_greater" in position:
        return {"id_greater": ids[-1]}
    return {**position, "offset": position.get("offset", 0) + len(ids)}


def describe_bad_record(read: ReadIds, position: Position, rows: int) -> tuple[str, str]:
    """Return which record of a page makes it fail, and the remedy; empty if every record fails.

    The page is read in halves, each requested once: about ten calls for a page of 100. The search
    starts with one record, so an account that is down costs two calls.
    """
    size, before_id = 1, position.get("id_greater")
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        # The bad record is one of `rows` records from `position`, after the record `before_id`.
        ids = _try(read, position, size)
        if ids is None:
            rows = size
            if size == 1:
                break
        elif not ids or len(ids) >= rows:
            return "Read in smaller parts, all of it came.", "Lower LIMIT_PER_PAGE if this lasts."
        else:
            position, rows, before_id = advance(position, ids), rows - len(ids), ids[-1]
        size = max(rows // 2, 1)
    next_ids = _try(read, {**position, "offset": position.get("offset", 0) + rows}, 1)
    if next_ids is None and rows == 1 and before_id == position.get("id_greater"):
        return "", ""  # neither the first record nor the second came
    return _describe(position, rows, [before_id, *(next_ids or ())])


def _try(read: ReadIds, position: Position, rows: int) -> tuple[int, ...] | None:
    try:
        return read(position, rows)
    except CallFailed:
        return None


def _describe(position: Position, rows: int, neighbours: Sequence[int | None]) -> tuple[str, str]:
    record = "One record" if rows == 1 else f"One of {rows} records"
    names = [f"id {record_id}" for record_id in neighbours if record_id]
    where = f"{'between' if len(names) > 1 else 'next to'} {' and '.join(names)}"
    offset = f", at offset {position['offset']}" if "offset" in position else ""
    return (
        f"{record} breaks the page: it is {where}{offset}. Without it the dataset is incomplete "
        "and is not published.",
        "Open that record in ActiveCampaign, or report it to their support.",
    )
