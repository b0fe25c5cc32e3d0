"""Read the events of deals in portions while slices are copied; a failure becomes a warning.

The position is stored with each page, so a sync continues at the row that the last one reached.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from acsync.activecampaign.deal_activities import (
    PATH,
    FilterIgnored,
    OrderBroken,
    advance,
    is_end,
    next_offset,
    parse_event,
    read_activities,
    start_readings,
)
from acsync.activecampaign.page import NOT_PUBLISHED, Page
from acsync.activecampaign.walk import WalkPage
from acsync.errors import AccountError, PaginationError, StoreError
from acsync.readings import ALL_TYPES, ActivityReading
from acsync.results import EventsResult
from acsync.store.deal_events import (
    count_events,
    count_seen,
    read_readings,
    replace_readings,
    save_activities,
)
from acsync.sync.context import SyncContext

# A portion has half the calls that the deals take, or this many if that is more. Next to 75,000
# deals, the first reading of a million activities takes 27 syncs.
LEAST_CALLS = 100

# No rows follow if three pages in a row end at the same one.
SAME_ENDS = 3

# Passes over a collection without an order: later ones find what the first ones missed. After six
# without a late row, nothing older is missing. After twenty that contradict the total, the total is
# wrong.
PASSES_WITHOUT_LATE, MOST_PASSES = 6, 20
# The total does not show whether as many rows were added as deleted, so a day is the limit.
LONGEST_WAIT = timedelta(days=1)


def read_deal_events(context: SyncContext, newest: WalkPage) -> EventsResult:
    """Read the next portion of the deals' activities, and store the events among them.

    `newest` is the newest page of the deals, whose total decides the size of the portion.
    """
    calls = max(LEAST_CALLS, (newest.total or 0) // context.settings.page_size // 2)
    context.deadline.expect_calls(calls)
    portion = Portion(context, calls, calls)
    try:
        readings = portion.read()
        stored = count_events(context.database)
    except (AccountError, StoreError) as error:
        warning = f"deal_events were not read, and what was read before stays. {error}"
        return EventsResult(portion.new, warnings=(warning.rstrip("."),))
    times = [reading.complete_at for reading in readings if reading.complete_at]
    return EventsResult(
        portion.new,
        stored,
        sum(reading.rows for reading in readings),
        sum(reading.total or 0 for reading in readings),
        min(times) if len(times) == len(readings) else None,
        tuple(portion.warnings),
    )


@dataclass
class Portion:
    """The reading of one sync: the calls that are left of the most, and the new events."""

    context: SyncContext
    most_calls: int
    calls: int
    new: int = 0
    warnings: list[str] = field(default_factory=list)

    def read(self) -> list[ActivityReading]:
        """Continue the readings, or start them."""
        readings: Sequence[ActivityReading] = read_readings(self.context.database)
        if not readings:
            readings = self._start(start_readings(self.context.client))
        try:
            return [self._continue(reading) for reading in readings]
        except FilterIgnored:
            everything = ActivityReading(ALL_TYPES, readings[0].asks_order)
            return [self._continue(reading) for reading in self._start([everything])]

    def _start(self, readings: Sequence[ActivityReading]) -> Sequence[ActivityReading]:
        replace_readings(self.context.database, self.context.sync, readings)
        return readings

    def _continue(self, reading: ActivityReading) -> ActivityReading:
        reading = replace(reading, page_rows=ActivityReading.page_rows)
        while reading.order != "none":
            try:
                return self._read_in_order(reading)
            except OrderBroken as broken:
                reading = ActivityReading(reading.data_type, reading.asks_order, broken.order)
        return self._read_without_order(reading)

    def _read_in_order(self, reading: ActivityReading) -> ActivityReading:
        """Read from the last position to the end, or as far as the calls suffice.

        The first page repeats half a page, because an id can appear after a higher one.
        """
        if reading.order == "descending" and not reading.last_id:
            reading = self._find_oldest(reading)
        overlap = reading.page_rows // 2
        ends: list[int] = []
        is_complete = False
        while self.calls > 0 and not is_complete:
            offset = next_offset(reading, overlap)
            page = self._ask(reading, offset)
            reading = advance(reading, page, offset)
            ends.append(max(page.ids, default=0))
            is_complete = is_end(reading, page, offset) or _is_repeated(reading, page, ends)
            if is_complete:
                reading = replace(reading, complete_at=self.context.sync.started_at)
            reading = self._save(reading, page)
            overlap = 1
        return reading

    def _find_oldest(self, reading: ActivityReading) -> ActivityReading:
        """Return the reading with the total; raise OrderBroken if more rows follow it."""
        total = self._ask(reading, 0).total
        if total is None:
            raise OrderBroken("none")
        last = self._ask(reading, total)
        if total + len(last.rows) > (last.total or 0):
            raise OrderBroken("none")
        return replace(reading, total=last.total)

    def _read_without_order(self, reading: ActivityReading) -> ActivityReading:
        """Read everything in passes, until one finds nothing new and agrees with the total."""
        is_quiet = False
        while self.calls > 0 and not is_quiet:
            offset = reading.rows if reading.began_at else 0
            page = self._ask(reading, offset)
            if reading.began_at is None:
                if waiting := self._wait(reading, page):
                    return self._save(waiting, page)
                reading = self._begin_pass(reading, page)
            elif page.total != reading.total:
                reading = replace(reading, steady_since=reading.passes + 1)
            reading = replace(reading, rows=offset + len(page.rows), total=page.total)
            reading = self._save(reading, page, page.ids)
            if not page.rows or is_end(reading, page, offset):
                ended = self._end_pass(reading)
                is_quiet = ended.quiet_at == reading.began_at
                reading = self._save(ended, page)
        return reading

    def _wait(self, reading: ActivityReading, page: Page) -> ActivityReading | None:
        """Return the complete reading if it can stay as it is for now, or None."""
        started_at = self.context.sync.started_at
        if reading.complete_at is None:
            return None
        is_recent = reading.quiet_at and started_at - reading.quiet_at < LONGEST_WAIT
        if is_recent and page.total is not None and page.total == reading.quiet_total:
            return replace(reading, complete_at=started_at)
        total = page.total or reading.rows
        fits = total <= self.most_calls * len(page.rows)
        if fits or started_at - reading.complete_at >= LONGEST_WAIT:
            return None
        self.warnings.append(
            f"/{PATH} lists {total:,} activities in no order, so they are read once a day"
        )
        return reading

    def _begin_pass(self, reading: ActivityReading, page: Page) -> ActivityReading:
        number = reading.passes + 1
        return replace(
            reading,
            began_at=self.context.sync.started_at,
            passes=number,
            steady_since=reading.steady_since if page.total == reading.total else number,
            last_id=count_seen(self.context.database, reading.data_type, number).last_id,
            added=0,
            late=0,
        )

    def _end_pass(self, reading: ActivityReading) -> ActivityReading:
        """Judge a pass: whether all older rows are known, and whether nothing new may come."""
        passes, total = reading.passes, reading.total
        if reading.last_id and reading.added > reading.late:
            reading = replace(reading, steady_since=passes + 1)
        if reading.late:
            reading = replace(reading, late_pass=passes)
        since = reading.steady_since
        count = count_seen(self.context.database, reading.data_type, since).count
        is_last = passes - since + 1 >= MOST_PASSES
        is_whole = since <= passes and (count == total or is_last)
        ended = replace(reading, began_at=None)
        if not reading.late and (is_whole or passes - reading.late_pass > PASSES_WITHOUT_LATE):
            ended = replace(ended, complete_at=reading.began_at)
        if not reading.added and is_whole:
            ended = replace(ended, quiet_at=reading.began_at, quiet_total=total)
            if count < (total or 0):
                self.warnings.append(
                    f"/{PATH} counts {total:,} activities, but {MOST_PASSES} readings returned "
                    f"{count:,}. These are taken to be all"
                )
        return ended

    def _ask(self, reading: ActivityReading, offset: int) -> Page:
        self.calls -= 1
        return read_activities(self.context.client, reading, offset)

    def _save(
        self, reading: ActivityReading, page: Page, seen: Sequence[int] = ()
    ) -> ActivityReading:
        context = self.context
        events = [event for row in page.rows if (event := parse_event(row))]
        reading, new = save_activities(context.database, context.sync, reading, events, seen)
        self.new += new
        return reading


def _is_repeated(reading: ActivityReading, page: Page, ends: Sequence[int]) -> bool:
    """Return whether the last pages show that no rows follow, whatever the total says."""
    if len(ends) < SAME_ENDS or len({*ends[-SAME_ENDS:]}) > 1:
        return False
    if len(page.rows) >= reading.page_rows or (page.total and not page.rows):
        raise PaginationError(
            f"/{PATH} counts {page.total} activities and repeats itself after id {ends[-1]}.",
            NOT_PUBLISHED,
        )
    return True
