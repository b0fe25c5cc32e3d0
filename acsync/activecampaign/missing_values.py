"""Find the values that a page names but does not contain, and decide why.

A record names its custom field values, tags and lists by id; their objects come in arrays of the
same response. A server that limits these arrays cuts them off: a smaller page has the rest.
Values of a deleted field are still named but never sent: they are orphans.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from typing import TypeAlias

from acsync.activecampaign.bad_record import Position, advance
from acsync.activecampaign.page import Page
from acsync.activecampaign.sideloads import (
    ALL_ARRAYS,
    ValueName,
    came_with,
    count_objects,
    named_values,
    sent_names,
)
from acsync.datasets import Dataset

# The names that did not come, by the id of the record that names them.
Missing: TypeAlias = dict[int, set[ValueName]]

# Requests a number of rows at a position.
ReadPart: TypeAlias = Callable[[Position, int], Page]

# How many pages with orphans to read again in halves before trusting similar pages at sight.
MIN_JUDGED = 3

# After this number of judged pages, request fewer rows: then few pages reach the number of objects
# on the largest page. Eleven such pages hold the rows of ten, so a slice costs one more call.
JUDGED_AT_FULL_SIZE = 10
CALM_SHARE = 10 / 11


class Verdict(Enum):
    """Whether all values that a page names came, and if not, why."""

    WHOLE = auto()
    """All came, except orphans."""

    CUT = auto()
    """The server has more values than it sent; a smaller page may have all of them."""

    UNCLEAR = auto()
    """Two answers contradict each other; the page has to be read again."""


class MissingValues:
    """The missing values of one dataset in one sync; safe to share between threads.

    A server that limits its arrays sends the same number of objects on every page that it cuts.
    So a page with fewer objects than the largest page was not cut.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.orphans: set[ValueName] = set()
        self.dataset = dataset
        self.judging = threading.Lock()
        self._counting = threading.Lock()
        self._most_sent: Counter[str] = Counter()
        self._sent_when_cut: Counter[str] = Counter()
        self._judged = 0
        self._most_missing = self._most_missing_of_record = 0

    def calm_rows(self, rows: int, smallest: int) -> int:
        """Return how many rows to request so that a page can be trusted, at most `rows`."""
        if self._judged < JUDGED_AT_FULL_SIZE:
            return rows
        return max(math.ceil(rows * CALM_SHARE), smallest)

    def find(self, page: Page) -> Missing:
        """Return the missing values of a page, without known orphans."""
        sent = sent_names(self.dataset, page)
        named = named_values(self.dataset, page).items()
        return {
            record: missing for record, names in named if (missing := names - sent - self.orphans)
        }

    def judge_at_sight(self, page: Page, *, may_trust: bool, may_shrink: bool) -> Verdict | None:
        """Return a verdict if one is possible without another call.

        `may_trust` is false if a lagging replica could lack the last values of the page.
        """
        missing = self.find(page)
        self._note_sent(page)
        if not missing:
            return Verdict.WHOLE
        if may_trust and self._is_like_judged(missing) and self._is_below_limit(page, missing):
            self.orphans.update(*missing.values())
            return Verdict.WHOLE
        return Verdict.CUT if may_shrink and self._is_at_limit(page, missing) else None

    def judge(
        self, first: Page, position: Position, rows: int, read: ReadPart
    ) -> tuple[Page, Verdict]:
        """Read a page again, as a whole and in parts; return it with the verdict.

        `first` is an earlier answer at the position. Callers hold `judging`.
        """
        page = read(position, rows)
        missing = self.find(page)
        self._note_sent(page)
        if not missing:
            return page, Verdict.WHOLE
        if not self._confirms(first, [page]):
            return page, Verdict.UNCLEAR
        verdict = self._judge_in_parts(page, position, missing, read)
        if verdict is Verdict.WHOLE:
            self._note_orphans(missing)
        elif verdict is Verdict.CUT:
            self._note_cut(page, missing)
        return page, verdict

    def _judge_in_parts(
        self, page: Page, position: Position, missing: Missing, read: ReadPart
    ) -> Verdict:
        """Split a page until each missing value is missing from a part that was not cut off."""
        unjudged = set().union(*missing.values())
        parts = [(position, page)]
        while parts and unjudged:
            place, part = parts.pop()
            if not (missing_here := _only(unjudged, self.find(part))):
                continue
            is_small = part is not page and self._is_below_limit(part, missing_here)
            if is_small or len(part.rows) == 1:
                if not is_small and self._is_at_limit(part, missing_here):
                    return Verdict.CUT
                # A single record that has more values than any page: no limit is known.
                unjudged.difference_update(*missing_here.values())
                continue
            halves = _read_halves(part, place, read)
            if any(unjudged & sent_names(self.dataset, half) for _, half in halves):
                return Verdict.CUT
            if not self._confirms(part, [half for _, half in halves], all_of=missing_here):
                return Verdict.UNCLEAR
            parts += halves
        return Verdict.WHOLE

    def _confirms(self, page: Page, others: Sequence[Page], all_of: Iterable[int] = ()) -> bool:
        """Return whether other pages have all the values that `page` has for the same records.

        They must contain all records of `all_of`.
        """
        before = came_with(self.dataset, page)
        after: dict[int, set[ValueName]] = {}
        for other in others:
            after |= came_with(self.dataset, other)
        return after.keys() >= {*all_of} and all(
            before[record] <= names for record, names in after.items() if record in before
        )

    def _note_sent(self, page: Page) -> None:
        with self._counting:
            self._most_sent |= count_objects(self.dataset, page)

    def _note_cut(self, page: Page, missing: Missing) -> None:
        sent = count_objects(self.dataset, page)
        with self._counting:
            self._sent_when_cut |= Counter({key: sent[key] for key in _keys_of(missing)})

    def _note_orphans(self, missing: Missing) -> None:
        self.orphans.update(*missing.values())
        self._judged += 1
        counts = [len(names) for names in missing.values()]
        self._most_missing = max(self._most_missing, sum(counts))
        self._most_missing_of_record = max(self._most_missing_of_record, *counts)

    def _is_like_judged(self, missing: Missing) -> bool:
        """Return whether pages with known orphans missed at least this many values."""
        counts = [len(names) for names in missing.values()]
        return (
            self._judged >= MIN_JUDGED
            and sum(counts) <= self._most_missing
            and max(counts) <= self._most_missing_of_record
        )

    def _is_below_limit(self, page: Page, missing: Missing) -> bool:
        """Return whether a page has too few objects to have been cut off.

        A limit may apply to each array or to all of them together. It is at least one object.
        """
        sent = count_objects(self.dataset, page)
        return all(sent[key] < max(self._most_sent[key], 1) for key in _keys_of(missing))

    def _is_at_limit(self, page: Page, missing: Missing) -> bool:
        """Return whether a page has as many objects as the pages that were cut.

        If another page has even more, those pages were not cut by a limit: the server lagged.
        """
        sent = count_objects(self.dataset, page)
        limits = {key: self._sent_when_cut[key] for key in _keys_of(missing)}
        return any(sent[key] >= limits[key] >= max(self._most_sent[key], 1) for key in limits)


def _keys_of(missing: Missing) -> set[str]:
    return {ALL_ARRAYS, *(key for names in missing.values() for key, _ in names)}


def _only(names: set[ValueName], missing: Missing) -> Missing:
    common = {record: names & of_record for record, of_record in missing.items()}
    return {record: of_record for record, of_record in common.items() if of_record}


def _read_halves(page: Page, position: Position, read: ReadPart) -> list[tuple[Position, Page]]:
    """Read the rows of a page in two calls; return nothing if the first call has all of them."""
    rows = len(page.rows)
    first = read(position, rows // 2)
    left = rows - len(first.rows)
    if not first.rows or left < 1:
        return []
    middle = advance(position, first.ids)
    return [(position, first), (middle, read(middle, left))]
