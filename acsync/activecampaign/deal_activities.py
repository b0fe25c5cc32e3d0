"""Read the activities of deals, whose order and filter are not documented but proven.

The rows are read by offset, from the oldest on. In ascending or descending order of ids, each page
must share a row with the one before it, so nothing is left out. Without such an order, only
reading everything several times shows that nothing is missing.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from acsync.activecampaign.client import ATTEMPTS, Client
from acsync.activecampaign.page import NOT_PUBLISHED, Page, record_id
from acsync.datasets import Record, pick
from acsync.errors import CallRefused, PaginationError
from acsync.readings import ALL_TYPES, ActivityOrder, ActivityReading, DealEvent, EventKind

PATH = "dealActivities"

# The kinds of events that are kept, by `dataType`. Others, such as notes, are never stored.
KINDS: dict[str, EventKind] = {"d_stageid": "stage", "status": "status"}
STATUSES = {"0": "open", "1": "won", "2": "lost"}


class FilterIgnored(Exception):
    """A page contains rows of a type that was not requested."""


class OrderBroken(Exception):
    """A page contradicts the order that was assumed; `order` is the next one to try."""

    def __init__(self, order: ActivityOrder) -> None:
        super().__init__(order)
        self.order = order


def read_activities(
    client: Client, reading: ActivityReading, offset: int, attempts: int = ATTEMPTS
) -> Page:
    """Return a page of activities without emails, whose bodies would come along."""
    params: dict[str, str | int] = {"limit": reading.page_rows, "offset": offset}
    params["exclude"] = "email"
    if reading.asks_order:
        params["orders[id]"] = "ASC"
    if reading.data_type != ALL_TYPES:
        params["filters[data_type]"] = reading.data_type
    page = client.get_page(PATH, params, attempts)
    types = {str(row.get("dataType")) for row in page.rows}
    if reading.data_type != ALL_TYPES and types - {reading.data_type}:
        raise FilterIgnored
    return page


def start_readings(client: Client) -> tuple[ActivityReading, ...]:
    """Return one reading per kind, or one of all activities if the filter does not work.

    An account may refuse parameters that it does not know. The filter is proven if it returns rows,
    all of the requested type. Raises CallRefused if the account refuses the collection.
    """
    refusal: CallRefused | None = None
    for types in ((*KINDS,), (ALL_TYPES,)):
        for asks_order in (True, False):
            readings = tuple(ActivityReading(data_type, asks_order) for data_type in types)
            attempts = 1 if refusal else ATTEMPTS
            try:
                pages = [read_activities(client, reading, 0, attempts) for reading in readings]
            except FilterIgnored:
                break
            except CallRefused as error:
                if type(error) is not CallRefused:
                    raise
                refusal = error
                continue
            if types == (ALL_TYPES,) or any(page.rows for page in pages):
                pairs = zip(readings, pages, strict=True)
                return tuple(replace(reading, total=page.total) for reading, page in pairs)
            break
    raise refusal or PaginationError(f"/{PATH} contradicts itself.", NOT_PUBLISHED)


def probe_order(client: Client, reading: ActivityReading) -> tuple[ActivityOrder, int]:
    """Return the order that the first two pages show, and the total."""
    first = read_activities(client, reading, 0)
    second = read_activities(client, reading, max(len(first.rows) - 1, 0))
    ids = (*first.ids[:-1], *second.ids)
    order: ActivityOrder = "descending" if is_ascending(ids[::-1]) else "none"
    return "ascending" if is_ascending(ids) else order, first.total or len(first.rows)


def is_ascending(ids: Sequence[int]) -> bool:
    """Return whether each id is higher than the one before."""
    return all(before < after for before, after in pairwise(ids))


def next_offset(reading: ActivityReading, overlap: int) -> int:
    """Return the offset of the next page, which repeats `overlap` rows.

    Rows are counted from the oldest, so new ones move no position in either order.
    """
    start = max(reading.rows - overlap, 0)
    if reading.order != "descending":
        return start
    return max((reading.total or 0) - start - reading.page_rows, 0)


def advance(reading: ActivityReading, page: Page, offset: int) -> ActivityReading:
    """Return the reading after a page in the order of ids; raises OrderBroken.

    A page that shares no row with those before it takes the reading back, because rows between them
    may have moved.
    """
    is_descending = reading.order == "descending"
    ids = page.ids[::-1] if is_descending else page.ids
    if not is_ascending(ids):
        descends = not is_descending and is_ascending(ids[::-1])
        raise OrderBroken("descending" if descends else "none")
    total = page.total or 0
    known = replace(reading, total=page.total)
    if is_descending and 0 < len(ids) < min(reading.page_rows, total - offset):
        # The server sends fewer rows than requested, and its newest ones.
        known = replace(known, page_rows=len(ids))
    end = total - offset if is_descending else offset + len(ids)
    if ids and (ids[0] <= reading.last_id or end <= len(ids)):
        return replace(known, rows=end, last_id=max(reading.last_id, ids[-1]))
    if page.total != reading.total or known.page_rows != reading.page_rows:
        return known
    if is_descending and not ids:
        raise OrderBroken("none")
    return replace(known, rows=max(min(reading.rows, total) - reading.page_rows, 0))


def is_end(reading: ActivityReading, page: Page, offset: int) -> bool:
    """Return whether no rows follow a page that `advance` accepted."""
    if reading.order == "descending":
        return offset == 0 and reading.rows == page.total
    is_short = len(page.rows) < reading.page_rows
    return is_short and page.total is not None and offset + len(page.rows) >= page.total


def parse_event(row: Record) -> DealEvent | None:
    """Return the event of a row, or None if it is of another kind or names no deal."""
    kind = KINDS.get(str(row.get("dataType")))
    deal = _read_id(pick(row, "deal", "d_id"))
    if kind is None or deal is None:
        return None
    read = _read_id if kind == "stage" else STATUSES.get
    was, became = (read(str(row.get(key))) for key in ("dataOldval", "dataAction"))
    user = _read_id(pick(row, "user", "userid"))
    time = row.get("cdate")
    return DealEvent(record_id(row), deal, kind, was, became, str(time) if time else None, user)


def _read_id(value: object) -> str | None:
    """Return an id as text, or None if the value is no id or 0."""
    text = str(value)
    return text if re.fullmatch(r"[1-9][0-9]{0,17}", text) else None
