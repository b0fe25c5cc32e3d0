"""Find the record that keeps a page from coming, so that a person can look at it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from acsync.errors import CallFailed

# Where a page begins: at `offset`, or behind the id `id_greater`.
Position: TypeAlias = Mapping[str, int]

# Ask once for so many rows at a position and return their ids; raises CallFailed.
ReadIds: TypeAlias = Callable[[Position, int], tuple[int, ...]]

MAX_SECONDS = 120.0


@dataclass(frozen=True)
class Part:
    """The rows of a page among which one does not come; `before_id` stands before them."""

    position: Position
    rows: int
    before_id: int | None = None


def advance(position: Position, ids: Sequence[int]) -> Position:
    """Return the position after the rows with these ids, which were read from `position`."""
    if "id_greater" in position:
        return {"id_greater": ids[-1]}
    return {**position, "offset": position.get("offset", 0) + len(ids)}


def describe_bad_record(read: ReadIds, position: Position, rows: int) -> tuple[str, str]:
    """Return which record of a page does not come, and what to do; nothing where none comes.

    The page is read in halves, each asked for once: some ten calls for a page of 100. It begins
    with one record, so that an account that is down costs two calls.
    """
    part, size, found = Part(position, rows, position.get("id_greater")), 1, False
    deadline = time.monotonic() + MAX_SECONDS
    while not found and time.monotonic() < deadline:
        smaller = _narrow(read, part, size)
        if smaller is None:
            return "Read in smaller parts, all of it came.", "Lower LIMIT_PER_PAGE if that stays."
        found = size == 1 and smaller.position == part.position
        part, size = smaller, max(smaller.rows // 2, 1)
    behind = {**part.position, "offset": part.position.get("offset", 0) + part.rows}
    return _describe(part, _try(read, behind, 1))


def _narrow(read: ReadIds, part: Part, size: int) -> Part | None:
    """Read the first rows of a part: the bad record is among them, or among the others."""
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


def _describe(part: Part, behind: tuple[int, ...] | None) -> tuple[str, str]:
    if behind is None and part.rows == 1 and part.before_id == part.position.get("id_greater"):
        return "", ""  # neither the first record nor the second came
    what = "One record keeps" if part.rows == 1 else f"One of {part.rows} records keeps"
    neighbours = [f"id {one}" for one in (part.before_id, *(behind or ())) if one]
    where = f"{'between' if len(neighbours) > 1 else 'next to'} {' and '.join(neighbours)}"
    offset = f", at offset {part.position['offset']}" if "offset" in part.position else ""
    return (
        f"{what} the page from coming: it is {where}{offset}. Without it the dataset is "
        "incomplete and is not published.",
        "Open that record in ActiveCampaign, or report it to their support.",
    )
