"""Find the record that makes a page fail, so that a person can look at it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from acsync.errors import CallFailed

# The start of a page: at `offset`, or after the id `id_greater`.
Position: TypeAlias = Mapping[str, int]

# Requests a number of rows at a position once and returns their ids; raises CallFailed.
ReadIds: TypeAlias = Callable[[Position, int], tuple[int, ...]]

MAX_SECONDS = 120.0


@dataclass(frozen=True)
class Part:
    """Rows of a page, one of which makes it fail; `before_id` is the id of the row before them."""

    position: Position
    rows: int
    before_id: int | None = None


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
    part, size, is_found = Part(position, rows, position.get("id_greater")), 1, False
    deadline = time.monotonic() + MAX_SECONDS
    while not is_found and time.monotonic() < deadline:
        smaller = _narrow(read, part, size)
        if smaller is None:
            return "Read in smaller parts, all of it came.", "Lower LIMIT_PER_PAGE if this lasts."
        is_found = size == 1 and smaller.position == part.position
        part, size = smaller, max(smaller.rows // 2, 1)
    next_position = {**part.position, "offset": part.position.get("offset", 0) + part.rows}
    return _describe(part, _try(read, next_position, 1))


def _narrow(read: ReadIds, part: Part, size: int) -> Part | None:
    """Read the first rows of a part; return the smaller part that has the bad record."""
    ids = _try(read, part.position, size)
    if ids is None:
        return replace(part, rows=size)
    if not ids or len(ids) >= part.rows:
        return None
    return Part(advance(part.position, ids), part.rows - len(ids), ids[-1])


def _try(read: ReadIds, position: Position, rows: int) -> tuple[int, ...] | None:
    try:
        return read(position, rows)
    except CallFailed:
        return None


def _describe(part: Part, next_ids: tuple[int, ...] | None) -> tuple[str, str]:
    if next_ids is None and part.rows == 1 and part.before_id == part.position.get("id_greater"):
        return "", ""  # neither the first record nor the second came
    record = "One record" if part.rows == 1 else f"One of {part.rows} records"
    neighbours = [
        f"id {record_id}" for record_id in (part.before_id, *(next_ids or ())) if record_id
    ]
    where = f"{'between' if len(neighbours) > 1 else 'next to'} {' and '.join(neighbours)}"
    offset = f", at offset {part.position['offset']}" if "offset" in part.position else ""
    return (
        f"{record} breaks the page: it is {where}{offset}. Without it the dataset is incomplete "
        "and is not published.",
        "Open that record in ActiveCampaign, or report it to their support.",
    )
