"""Read what changed since a time, and notice an account that answers another question.

The API ignores unknown filters and orders without an error, so every row is checked.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, TypeAlias

from acsync.activecampaign.bad_record import Position
from acsync.activecampaign.client import Client, Params
from acsync.activecampaign.page import Page, record_id, require_order
from acsync.activecampaign.page_reader import MAX_ANSWERS, Order, PageReader, Question
from acsync.datasets import Dataset, Record
from acsync.errors import AccessDenied, CallFailed, CallRefused, NotByDate

# How exactly an account answers by date: to the second, or by days alone.
Precision: TypeAlias = Literal["times", "days"]

UPDATED_AFTER = "filters[updated_after]"

NEWEST_FIRST = Question("mdate")

# A filter that knows days alone may return records of the whole day in any time zone.
DAY = timedelta(hours=24 + 14)

# No record is dated so far ahead, in any time zone.
FUTURE = timedelta(days=2)

# A key that sees no deal gets no date. So many pages without one are enough to know it.
MAX_UNDATED = 5

# How many pages of a walk may be read again because the records before them moved.
MAX_REPEATS = 5

REMEDY = "Full syncs go on. Incremental syncs try again after the next one."


def changed_after(since: datetime) -> Question:
    """Return the question for contacts that changed after a time, in id order.

    Give the time in the account's zone: a filter that ignores offsets then works, too.
    """
    return Question(filters={UPDATED_AFTER: since.isoformat(timespec="seconds")})


def date_of(dataset: Dataset, row: Record) -> datetime | None:
    """Return when a row was last changed; masked deals have no date."""
    try:
        date = datetime.fromisoformat(str(row.get(dataset.date_key)))
    except ValueError:
        return None
    return date if date.tzinfo else None


def probe_filter(client: Client, dataset: Dataset, now: datetime) -> None:
    """Raise NotByDate if the filter returns a record for a time two days after `now`."""
    future = now + FUTURE
    _require_dates(dataset, _read_first(client, dataset, future, {}), future)


def probe_precision(client: Client, dataset: Dataset, row: Record) -> Precision | None:
    """Return how exact the filter is around the date of a record, None if it has just changed.

    Raises NotByDate if the record is missing from the answer, although it changed after the bound.
    """
    date, second = date_of(dataset, row), timedelta(seconds=1)
    if date is None:
        return None
    only_this = {"id_greater": record_id(row) - 1, "id_less": record_id(row) + 1}

    def ask(since: datetime) -> list[Record]:
        page = _read_first(client, dataset, since, only_this)
        return [now for now in page.rows if record_id(now) == record_id(row)]

    before, after = ask(date - second), ask(date + second)
    if any(date_of(dataset, now) != date for now in before + after):
        return None
    if not before and _exists(client, dataset, row):
        raise NotByDate(
            f"ActiveCampaign leaves out a record of {date.isoformat()} that changed after the time "
            f"in {UPDATED_AFTER}.",
            REMEDY,
        )
    if not before:
        return None
    return "days" if after else "times"


def _exists(client: Client, dataset: Dataset, row: Record) -> bool:
    params: Params = {"limit": 1, "orders[id]": "ASC", "id_greater": record_id(row) - 1}
    return record_id(row) in client.get_page(dataset.path, params).ids


def _read_first(
    client: Client, dataset: Dataset, since: datetime, position: Mapping[str, int]
) -> Page:
    """Return the first record that changed after a time."""
    filters = changed_after(since).filters
    with _refusal_by_date():
        return client.get_page(
            dataset.path, {"limit": 1, "orders[id]": "ASC", **filters, **position}
        )


def read_changed(pages: PageReader, since: datetime) -> Iterator[Page]:
    """Yield pages of contacts that changed after a time.

    Raises NotByDate if the account refuses or ignores the filter. A filter that knows days alone
    brings records of the whole day.
    """
    position: Position = {"offset": 0}
    rows, total, last_id = 0, None, 0
    while True:
        with _refusal_by_date():
            page = _read_agreed(pages, position, "ASC")
        require_order(pages.dataset, page.ids, last_id)
        _require_dates(pages.dataset, page, since - DAY)
        rows, total = rows + len(page.ids), page.total if total is None else total
        if page.ids:
            yield page
        if _ends(page, rows, total):
            return
        last_id = page.ids[-1]
        position = {"id_greater": last_id}


@contextmanager
def _refusal_by_date() -> Iterator[None]:
    """Raise a refused call as NotByDate, unless the key is refused."""
    try:
        yield
    except AccessDenied:
        raise
    except CallRefused as refused:
        error = NotByDate(f"ActiveCampaign refuses {UPDATED_AFTER}: {refused.message}", REMEDY)
        error.is_refusal = True
        raise error from None


def _require_dates(dataset: Dataset, page: Page, since: datetime) -> None:
    dates = (date for row in page.rows if (date := date_of(dataset, row)))
    if older := next((date for date in dates if date < since), None):
        raise NotByDate(
            f"ActiveCampaign ignores {UPDATED_AFTER}: a record of {older.isoformat()} came.", REMEDY
        )


def read_newest_first(pages: PageReader, since: datetime) -> Iterator[Page]:
    """Yield pages of deals in the order of their dates, until one is older than a time.

    Neighbouring pages share a record, because a deletion moves all later ones. Raises NotByDate if
    the account ignores the order, or sends no date.
    """
    offset, seen, repeats, undated = 0, set[int](), 0, 0
    while repeats < MAX_REPEATS:
        page = _read_agreed(pages, {"offset": offset}, "DESC")
        dates = _require_newest_first(pages.dataset, page)
        step = max(len(page.ids) - 1, 1)
        if offset and page.ids and seen.isdisjoint(page.ids):
            offset, repeats = max(offset - step, 0), repeats + 1
            continue
        repeats += seen.issuperset(page.ids)
        seen.update(page.ids)
        yield page
        if _is_last(page, offset) or (dates and dates[-1] < since):
            return
        undated = 0 if dates else undated + 1
        if undated == MAX_UNDATED:
            raise NotByDate(f"{MAX_UNDATED} pages of deals have no mdate.", REMEDY)
        offset += step
    raise CallFailed(
        f"/{pages.dataset.path} repeats itself: offset {offset} brings no deal that was not read.",
        "The next sync reads it again.",
    )


def probe_date_order(client: Client, dataset: Dataset, rows: int) -> Precision | None:
    """Return how exactly the newest deals come in the order of their dates.

    None if fewer than two of them have a date. Raises NotByDate if another order comes.
    """
    page = client.get_page(dataset.path, {"limit": rows, "orders[mdate]": "DESC"})
    dates = _require_newest_first(dataset, page)
    if len(dates) < 2:
        return None
    is_proven = any(
        earlier != later and earlier.date() == later.date() for earlier, later in pairwise(dates)
    )
    return "times" if is_proven else "days"


def _require_newest_first(dataset: Dataset, page: Page) -> list[datetime]:
    """Return the dates of a page of deals, the newest first."""
    dates = [date for row in page.rows if (date := date_of(dataset, row))]
    days = [date.date() for date in dates]
    if dates == sorted(dates, reverse=True):
        return dates
    if days == sorted(days, reverse=True):
        raise NotByDate("ActiveCampaign orders deals by the day of mdate alone.", REMEDY)
    raise NotByDate("ActiveCampaign ignores orders[mdate] of deals.", REMEDY)


def read_after_id(pages: PageReader, last_id: int) -> Iterator[Page]:
    """Yield pages with the records after an id; deals come in pages that begin before it."""
    if pages.dataset.keyset:
        yield from _read_greater(pages, last_id)
        return
    offset = 0
    while True:
        page = _read_agreed(pages, {"offset": offset}, "DESC")
        require_order(pages.dataset, page.ids[::-1], 0)
        if page.ids:
            yield page
        if not page.ids or page.ids[-1] <= last_id or _is_last(page, offset):
            return
        offset += max(len(page.ids) - 1, 1)


def _read_greater(pages: PageReader, last_id: int) -> Iterator[Page]:
    while True:
        page = _read_agreed(pages, {"id_greater": last_id}, "ASC")
        require_order(pages.dataset, page.ids, last_id)
        if not page.ids:
            return
        yield page
        if len(page.ids) < page.limit:
            return
        last_id = page.ids[-1]


def _is_last(page: Page, offset: int) -> bool:
    return _ends(page, offset + len(page.ids), page.total)


def _ends(page: Page, rows: int, total: int | None) -> bool:
    """Return whether no page follows. A cached total can be too low, so a full page never ends."""
    is_counted = total is not None and rows >= total
    return not page.ids or (is_counted and len(page.ids) < page.limit)


def _read_agreed(pages: PageReader, position: Position, order: Order) -> Page:
    """Return the first page that is full or has all that is left, or that two requests agree on."""
    previous: Page | None = None
    for _ in range(MAX_ANSWERS):
        page = pages.read(position, order)
        left = None if page.total is None else max(page.total - position.get("offset", 0), 0)
        is_explained = left is not None and len(page.ids) == min(left, page.limit)
        if is_explained or (page.ids and len(page.ids) >= page.limit):
            return page
        if previous and previous.ids == page.ids:
            return page
        previous = page
    raise CallFailed(
        f"/{pages.dataset.path} returned a short page {MAX_ANSWERS} times, each time with other "
        "records.",
        "The next sync reads it again.",
    )
