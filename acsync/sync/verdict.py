"""Judge a published record by what the account says of it.

A record that differs is wrong only if that is proven. It may have changed since it was copied: then
one of its dates is later than the copy, or the next full sync publishes what the account says. If
the account says the same before and after that sync and the copy still differs, the copy is wrong.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DatasetName, is_masked
from acsync.enrich.differences import find_differences
from acsync.enrich.encoding import encode
from acsync.store.verification import PublishedRecord
from acsync.sync.account_reader import (
    Names,
    compare_single,
    enrich_single,
    newest_date,
    read_relations,
)

Verdict: TypeAlias = Literal["equal", "changed", "deleted", "masked", "undecided", "different"]

# A date that is further ahead of the account's clock proves nothing.
MOST_AHEAD = timedelta(minutes=1)

# The fields to name if only one side has the record, its hash does not fit, or no call answers.
RECORD, HASH, NO_ANSWER = "the whole record", "its hash", "no answer to its call"

# A key that differs in this share of the records, and in no fewer records, has another form if a
# record is requested singly.
UNLIKE_SHARE, UNLIKE_RECORDS = 0.9, 20


@dataclass(frozen=True)
class Look:
    """A published record, and what the account said of it a little later; None if it has none."""

    copy: PublishedRecord | None
    page: WalkPage | None
    error: str = ""


@dataclass(frozen=True)
class Finding:
    """The verdict on one record, and the fields that differ."""

    verdict: Verdict
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judge:
    """Judges looks of one dataset; times are those of the account's clock.

    Nothing published was read after `copied_at`. `common` are the keys of every record, and
    `unlike` those that are not compared.
    """

    name: DatasetName
    names: Names
    common: frozenset[str]
    copied_at: datetime | None
    now: datetime | None
    unlike: frozenset[str] = frozenset()

    def judge_all(
        self, looks: Mapping[int, Look], earlier: Mapping[int, Look]
    ) -> dict[int, Finding]:
        """Return the verdict on each record, by id."""
        return {key: self._judge(look, earlier.get(key)) for key, look in looks.items()}

    def _judge(self, look: Look, earlier: Look | None) -> Finding:
        """Return the verdict; `earlier` is the look before the full sync that made this copy."""
        fields = self._compare(look.copy, look)
        copy = look.copy
        if copy and encode(copy.record, copy.relations).hash != copy.hash:
            return Finding("different", fields or (HASH,))
        if not fields:
            return self._agree(look, earlier)
        return Finding(self._judge_difference(look, earlier), fields)

    def _judge_difference(self, look: Look, earlier: Look | None) -> Verdict:
        if look.error:
            return "undecided"
        if look.page and self._is_newer(look.page):
            return "changed"
        if look.copy and look.copy.is_foreign:
            return "different"
        if earlier is None or earlier.error:
            return "undecided"
        if not self._compare(look.copy, earlier):
            return "changed"
        return "undecided" if self._has_moved(look, earlier) else "different"

    def _agree(self, look: Look, earlier: Look | None) -> Finding:
        """Return the verdict on a copy that says what the account says."""
        if look.copy is None:
            return Finding("deleted")
        if is_masked(look.copy.record):
            return Finding("masked")
        return Finding("changed" if earlier else "equal")

    def _compare(self, copy: PublishedRecord | None, look: Look) -> tuple[str, ...]:
        """Return the fields in which a copy differs from what the account said at a look."""
        page = look.page
        if look.error:
            return (NO_ANSWER,)
        if copy is None or page is None:
            return () if copy is None and page is None else (RECORD,)
        record = enrich_single(page, self.names, copy.record, self.common)
        fields = compare_single(self.name, page, self.names, record, copy.record, copy.relations)
        return tuple(sorted(fields - self.unlike))

    def _is_newer(self, page: WalkPage) -> bool:
        """Return whether the account changed the record after it was copied."""
        date = newest_date(page)
        if date is None or self.copied_at is None or self.now is None:
            return False
        return self.copied_at < date < self.now + MOST_AHEAD

    def _has_moved(self, look: Look, earlier: Look) -> bool:
        """Return whether the account has changed the record since the earlier look."""
        if look.page is None or earlier.page is None:
            return look.page is not earlier.page
        pages = look.page, earlier.page
        now, before = (enrich_single(page, self.names) for page in pages)
        if find_differences(self.name, now, before):
            return True
        now, before = (read_relations(page, self.names) for page in pages)
        return now != before


def find_unlike(findings: Collection[Finding], looks: Collection[Look]) -> frozenset[str]:
    """Return the keys that ActiveCampaign seems to send in another form singly than on pages.

    The records that differ fit their hashes and were written by a sync, so nobody edited them.
    """
    compared = sum(bool(look.copy and look.page) for look in looks)
    undecided = (finding.fields for finding in findings if finding.verdict == "undecided")
    counts = Counter(field for fields in undecided for field in fields)
    least = max(UNLIKE_RECORDS, UNLIKE_SHARE * compared)
    parts = (RECORD, NO_ANSWER, "tags")
    return frozenset(
        field
        for field, count in counts.items()
        if count >= least and field not in parts and "." not in field
    )
