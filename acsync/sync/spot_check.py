"""Compare random published records with what the account says of each of them.

A record that differs is wrong only if that is proven. It may have changed since it was copied: then
one of its dates is later than the copy, or the next full sync publishes what the account says. If
the account says the same before and after that sync and the copy still differs, the copy is wrong.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, get_args

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DatasetName, is_masked
from acsync.enrich.differences import find_differences
from acsync.enrich.encoding import encode
from acsync.errors import CallFailed, PaginationError
from acsync.schedule import INTERVAL
from acsync.store.database import Database
from acsync.store.snapshot import published_ids
from acsync.store.verification import (
    Counts,
    PublishedRecord,
    read_copies,
    read_publication,
)
from acsync.sync.account_reader import (
    AccountReader,
    Names,
    enrich_single,
    find_common_keys,
    find_renamed,
    newest_date,
    read_date,
)

Verdict: TypeAlias = Literal["equal", "changed", "deleted", "masked", "undecided", "different"]

# A next full sync starts within one interval and ends within another.
PATIENCE = 2 * INTERVAL

# Calls that wait for their answers at the same time.
READERS = 8

# Records whose answers are in memory at once.
BATCH = 500

# The API's dates have no fractions of seconds.
CLOCK_MARGIN = timedelta(seconds=2)

# A date that is further ahead of the account's clock proves nothing.
FUTURE = timedelta(minutes=1)

# What differs if only one side has the record, the stored hash does not fit, or no call answers.
RECORD, HASH, NO_ANSWER = "the whole record", "its hash", "no answer to its call"


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


@dataclass
class SpotCheck:
    """The records of one dataset that are compared, and the account's own counts.

    `counted` is the account's total, and `created` counts the records of its newest page that are
    newer than the copy. `looks` are the last looks at undecided records. `common` are the keys of
    every record.
    """

    name: DatasetName
    published: int
    counted: int | None
    created: int
    findings: dict[int, Finding] = field(default_factory=dict)
    looks: dict[int, Look] = field(default_factory=dict)
    looked_at: datetime | None = None
    common: frozenset[str] = frozenset()

    @property
    def undecided(self) -> dict[int, tuple[str, ...]]:
        """Return the fields of each undecided record."""
        return self.fields_of("undecided")

    def fields_of(self, verdict: Verdict) -> dict[int, tuple[str, ...]]:
        """Return the fields of each record with a verdict, by id."""
        findings = sorted(self.findings.items())
        return {key: finding.fields for key, finding in findings if finding.verdict == verdict}

    @property
    def counts(self) -> Counts:
        """Return how many records got each verdict."""
        verdicts = Counter(finding.verdict for finding in self.findings.values())
        return Counts(len(self.findings), *(verdicts[verdict] for verdict in get_args(Verdict)))


def check_sample(reader: AccountReader, name: DatasetName, sample: int) -> SpotCheck | None:
    """Compare random records, and the newest ones; None if nothing is published.

    Raises AccountError if the account refuses the calls.
    """
    published = published_ids(reader.database, name)
    publication = read_publication(reader.database, name)
    if publication is None:
        return None
    newest = reader.read_newest(name)
    chosen = random.sample(published, min(sample, len(published)))
    suspects = _find_suspects(published, newest, publication.read_from)[:sample]
    ids = list(dict.fromkeys([*chosen, *suspects]))
    last_id = max(published, default=0)
    created = sum(record_id > last_id for record_id in newest.ids)
    check = SpotCheck(name, len(published), newest.total, created)
    for start in range(0, len(ids), BATCH):
        _look(reader, check, ids[start : start + BATCH])
    return check


def _find_suspects(published: Sequence[int], newest: WalkPage, read_from: datetime) -> list[int]:
    """Return ids that only the newest page has, or only the copy has in the range of that page.

    A record that is newer than the copy is suspect if it was created long before the last full
    sync.
    """
    if not newest.ids:
        return []
    known, last = {*published}, max(published, default=0)

    def is_late(created: object) -> bool:
        date = read_date(created)
        return date is not None and date < read_from - PATIENCE

    missing = [
        record_id
        for record_id, row in zip(newest.ids, newest.rows, strict=True)
        if record_id not in known and (record_id < last or is_late(row.get("cdate")))
    ]
    gone = known - {*newest.ids}
    return [*missing, *sorted(record_id for record_id in gone if record_id > newest.ids[0])]


def _look(reader: AccountReader, check: SpotCheck, ids: Sequence[int]) -> None:
    """Read these records, first the copy and then the account, and judge each of them."""
    name, database = check.name, reader.database
    copies = read_copies(database, name, ids)
    names = reader.read_names(name)
    with ThreadPoolExecutor(READERS) as pool:
        pages = list(pool.map(lambda record_id: _read(reader, name, record_id), ids))
    publication = read_publication(database, name)
    if publication is None:
        return
    now = reader.clock.now()
    copied_at = now and now - (publication.now - publication.synced_at) + CLOCK_MARGIN
    check.common |= find_common_keys(copy.record for copy in copies.values())
    judge = Judge(name, names, check.common, copied_at, now)
    for record_id, (page, error) in zip(ids, pages, strict=True):
        look = Look(copies.get(record_id), page, error)
        check.findings[record_id] = judge.judge(look, check.looks.get(record_id))
        check.looks[record_id] = look
    undecided = check.fields_of("undecided")
    check.looks = {key: look for key, look in check.looks.items() if key in undecided}
    check.looked_at = publication.now


def _read(reader: AccountReader, name: DatasetName, record_id: int) -> tuple[WalkPage | None, str]:
    """Return what the account says of a record, or why it does not say it."""
    try:
        return reader.read(name, record_id), ""
    except (CallFailed, PaginationError) as error:
        return None, error.message


@dataclass(frozen=True)
class Judge:
    """Judges looks of one dataset; times are those of the account's clock.

    Nothing published was read after `copied_at`. `common` are the keys of every record.
    """

    name: DatasetName
    names: Names
    common: frozenset[str]
    copied_at: datetime | None
    now: datetime | None

    def judge(self, look: Look, earlier: Look | None) -> Finding:
        """Return the verdict; `earlier` is the look before the full sync that made this copy."""
        fields = self._compare(look.copy, look)
        if look.copy and encode(look.copy.record).hash != look.copy.hash:
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
        renamed = find_renamed(page, self.names)
        return find_differences(self.name, record, copy.record, renamed)

    def _is_newer(self, page: WalkPage) -> bool:
        """Return whether the account changed the record after it was copied."""
        date = newest_date(page)
        if date is None or self.copied_at is None or self.now is None:
            return False
        return self.copied_at < date < self.now + FUTURE

    def _has_moved(self, look: Look, earlier: Look) -> bool:
        """Return whether the account said something else at the earlier look."""
        if look.page is None or earlier.page is None:
            return look.page is not earlier.page
        now, before = (enrich_single(page, self.names) for page in (look.page, earlier.page))
        return bool(find_differences(self.name, now, before))


def _await_full_sync(
    database: Database, checks: Sequence[SpotCheck], until: float, poll_seconds: float
) -> bool:
    """Wait until a full sync has read and published every dataset after its look.

    Returns False at the monotonic time `until`.
    """

    def is_read_again(check: SpotCheck) -> bool:
        publication = read_publication(database, check.name)
        return bool(publication and check.looked_at and publication.read_from >= check.looked_at)

    while not all(map(is_read_again, checks)):
        if time.monotonic() >= until:
            return False
        time.sleep(poll_seconds)
    return True


def decide(
    reader: AccountReader,
    checks: Sequence[SpotCheck],
    tell: Callable[[Mapping[DatasetName, int]], object],
    patience: timedelta = PATIENCE,
    poll_seconds: float = 2.0,
) -> None:
    """Look at undecided records again after each full sync, until `patience` has passed.

    `tell` is called with the number of undecided records before each wait.
    """
    until = time.monotonic() + patience.total_seconds()
    while left := [check for check in checks if check.undecided]:
        tell({check.name: len(check.undecided) for check in left})
        if not _await_full_sync(reader.database, left, until, poll_seconds):
            return
        for check in left:
            _look(reader, check, list(check.undecided))
