"""Compare random published records with the account, and look again after the next full sync."""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import get_args

from acsync.activecampaign.walk import WalkPage
from acsync.datasets import DatasetName
from acsync.errors import CallFailed, PaginationError
from acsync.forgotten import Forgotten
from acsync.store.database import Database
from acsync.store.forgotten import count_forgotten, read_forgotten
from acsync.store.snapshot import published_ids
from acsync.store.verification import Counts, read_copies, read_publication
from acsync.sync.account_reader import AccountReader, find_common_keys, read_date
from acsync.sync.forget import find_left_out
from acsync.sync.verdict import Finding, Judge, Look, Verdict, find_unlike

# A record that was created this long before a full sync cannot have been missed by chance.
LONG_BEFORE = timedelta(minutes=30)

# Calls that wait for their answers at the same time.
READERS = 8

# Records whose answers are in memory at once.
BATCH = 500

# The API's dates have no fractions of seconds.
CLOCK_MARGIN = timedelta(seconds=2)


@dataclass
class SpotCheck:
    """The records of one dataset that are compared, and the account's own counts.

    `counted` is the account's total, and `created` counts the records of its newest page that are
    newer than the copy. `left_out` counts the forgotten contacts that the account has. `looks` are
    the last looks at undecided records. `common` are the keys of every record, and `unlike` those
    with another form in a single answer.
    """

    name: DatasetName
    published: int
    counted: int | None
    created: int
    left_out: int = 0
    findings: dict[int, Finding] = field(default_factory=dict)
    looks: dict[int, Look] = field(default_factory=dict)
    looked_at: datetime | None = None
    common: frozenset[str] = frozenset()
    unlike: frozenset[str] = frozenset()

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
    newest, left_out = _read_newest(reader, name)
    chosen = random.sample(published, min(sample, len(published)))
    suspects = _find_suspects(published, newest, publication.read_from)[:sample]
    ids = list(dict.fromkeys([*chosen, *suspects]))
    last_id = max(published, default=0)
    created = sum(record_id > last_id for record_id in newest.ids)
    check = SpotCheck(name, len(published), newest.total, created, left_out)
    for start in range(0, len(ids), BATCH):
        _look(reader, check, ids[start : start + BATCH])
    return check


def _read_newest(reader: AccountReader, name: DatasetName) -> tuple[WalkPage, int]:
    """Return the newest page without forgotten contacts, and how many the account has."""
    page = reader.read_newest(name)
    if name == "deals":
        return page, 0
    with reader.database.begin() as connection:
        hidden = find_left_out(read_forgotten(connection), page)
        left_out = count_forgotten(connection)
    kept = [place for place, record_id in enumerate(page.ids) if record_id not in hidden]
    ids, rows = tuple(page.ids[place] for place in kept), [page.rows[place] for place in kept]
    return replace(page, ids=ids, rows=rows), left_out


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
        return date is not None and date < read_from - LONG_BEFORE

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
    if name == "contacts":
        ids = _drop_forgotten(check, names.forgotten, ids)
    with ThreadPoolExecutor(READERS) as pool:
        pages = list(pool.map(lambda record_id: _read(reader, name, record_id), ids))
    publication = read_publication(database, name)
    if publication is None:
        return
    now = reader.client.server_clock.now()
    copied_at = now and now - (publication.now - publication.synced_at) + CLOCK_MARGIN
    check.common |= find_common_keys(copy.record for copy in copies.values())
    looks = {
        record_id: Look(copies.get(record_id), page, error)
        for record_id, (page, error) in zip(ids, pages, strict=True)
    }
    judge = Judge(name, names, check.common, copied_at, now, check.unlike)
    findings = judge.judge_all(looks, check.looks)
    if unlike := find_unlike(findings.values(), looks.values()):
        check.unlike |= unlike
        findings = replace(judge, unlike=check.unlike).judge_all(looks, check.looks)
    check.findings |= findings
    undecided = check.undecided
    check.looks = {key: look for key, look in (check.looks | looks).items() if key in undecided}
    check.looked_at = publication.now


def _drop_forgotten(check: SpotCheck, forgotten: Forgotten, ids: Sequence[int]) -> list[int]:
    """Return the contacts without those forgotten since they were chosen, with no verdict."""
    for record_id in ids:
        if forgotten.find("contact", record_id):
            check.findings.pop(record_id, None)
    return [record_id for record_id in ids if not forgotten.find("contact", record_id)]


def _read(reader: AccountReader, name: DatasetName, record_id: int) -> tuple[WalkPage | None, str]:
    """Return what the account says of a record, or why it does not say it."""
    try:
        return reader.read(name, record_id), ""
    except (CallFailed, PaginationError) as error:
        return None, error.message


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
    patience: timedelta,
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
