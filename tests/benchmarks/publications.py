"""Follow what an account's copy shows, and judge each publication by the account's journal."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from acsync.datasets import DatasetName
from acsync.results import SyncKind
from acsync.store.database import Database, run
from acsync.store.snapshot import published_records
from acsync.sync.incremental import OVERLAP
from tests.benchmarks.journal import PARTS, Journal, State, digest

NEWEST = """
    select sync_no, sync_id, kind, read_from, server_time
    from {schema}.ac_published where data_type = :data_type order by sync_no desc limit 1
"""
SHOWN = "select record_id, valid_from, hash from {versions} where valid_to is null"
RECALL = """
    select {name}_seen as seen, {name}_missed as missed
    from {schema}.ac_sync_logs where sync_id = :sync_id
"""


@dataclass(frozen=True)
class Publication:
    """One publication of a dataset, and the moment at which it could be read.

    Everything in it was read after `read_from`.
    """

    name: DatasetName
    kind: SyncKind
    number: int
    sync_id: str
    read_from: datetime
    server_time: datetime
    visible_at: float


@dataclass(frozen=True)
class Age:
    """A change that became readable: `state` became visible at a moment."""

    name: DatasetName
    state: State
    visible_at: float

    @property
    def seconds(self) -> float:
        """Return how long the change could not be read."""
        return self.visible_at - self.state.began


@dataclass
class Follower:
    """Reads a dataset's copy after each publication, and keeps the ages of all changes.

    `problems` are records that are lost, invented, stale, or went back in time.
    """

    database: Database
    journal: Journal
    name: DatasetName
    ages: list[Age] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    publications: list[Publication] = field(default_factory=list)
    recalls: list[str] = field(default_factory=list)
    _place: dict[int, int] = field(default_factory=dict)  # of the state that is shown
    _shown: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    _seen: int = 0

    def look(self, now: float) -> Publication | None:
        """Judge the newest publication unless it is known; return it."""
        with self.database.begin() as connection:
            run(connection, "set transaction isolation level repeatable read")
            row = run(connection, NEWEST, self.name).one_or_none()
            known = self.publications[-1].number if self.publications else 0
            if row is None or row.sync_no == known:
                return None
            shown = {
                version.record_id: (version.valid_from, bytes(version.hash))
                for version in run(connection, SHOWN, self.name)
            }
        published = Publication(
            self.name, row.kind, row.sync_no, row.sync_id, row.read_from, row.server_time, now
        )
        before = dict(self._place)
        with self.journal.lock:
            self._follow(published, shown)
            self._judge(published)
            self._count(published, before, shown)
        self.publications.append(published)
        self._shown = shown
        return published

    def _follow(self, published: Publication, shown: Mapping[int, tuple[int, bytes]]) -> None:
        """Find the state of each record that looks different, and the ages of its changes."""
        changed = [key for key, version in shown.items() if self._shown.get(key) != version]
        is_first = not self.publications
        for record_id, record in published_records(self.database, self.name, changed).items():
            states, before = self.journal.states[self.name][record_id], self._place.get(record_id)
            shows = digest(record)
            places = [place for place, state in enumerate(states) if state.digest == shows]
            later = [place for place in places if before is None or place >= before]
            if not later:
                went = "went back" if places else "is invented"
                self.problems.append(f"{published.sync_id}: {self.name} {record_id} {went}")
                continue
            self._place[record_id] = later[0]
            first = 0 if before is None else before + 1
            if not is_first:
                self.ages += [
                    Age(self.name, state, published.visible_at)
                    for state in states[first : later[0] + 1]
                    if state.kind != "first"
                ]
        for record_id in self._shown.keys() - shown.keys():
            del self._place[record_id]

    def _judge(self, published: Publication) -> None:
        """Note what the publication should show, and does not.

        A full sync shows each record as it was at some moment after `read_from`. An incremental
        one shows every change of a date before it began.
        """
        since, is_full = published.read_from.timestamp(), published.kind == "full"
        if not is_full:
            since = published.server_time.timestamp()
        deleted = self.journal.deleted[self.name]
        for record_id, states in self.journal.states[self.name].items():
            place, end = self._place.get(record_id), deleted.get(record_id)
            if end and end.ended < since:
                if is_full and place is not None:
                    self._complain(published, record_id, "is deleted")
                continue
            due = [
                number
                for number, state in enumerate(states)
                if state.ended < since and (is_full or state.kind in ("new", "dated"))
            ]
            if not due or end:
                continue
            shows = None if place is None else states[place].digest
            if shows in {state.digest for state in states[due[-1] :]}:
                continue
            # A deal that changes while pages are read moves to the first one, which was read.
            is_moved = any(since <= state.ended < published.visible_at for state in states)
            if is_full or not is_moved:
                self._complain(published, record_id, f"lacks the change {states[due[-1]]}")

    def _complain(self, published: Publication, record_id: int, what: str) -> None:
        sync = f"{published.sync_id} ({published.kind})"
        self.problems.append(f"{sync}: {self.name} {record_id} {what}")

    def _count(
        self,
        published: Publication,
        before: Mapping[int, int],
        shown: Mapping[int, tuple[int, bytes]],
    ) -> None:
        """Count what incremental syncs saw and missed, and compare it with the log of acsync."""
        new = [key for key, (number, _) in shown.items() if number == published.number]
        if published.kind == "incremental":
            self._seen += len(new)
            return
        seen, self._seen = self._seen, 0
        if not self.publications or self.publications[-1].kind == "full":
            return
        due = self.publications[-1].server_time - OVERLAP
        missed = Counter(kind for key in new if (kind := self._missed(key, before, due)))
        with self.database.begin() as connection:
            sql = RECALL.replace("{name}", self.name)
            logged: Any = run(connection, sql, sync_id=published.sync_id).one()
        text = f"{self.name}: saw {seen}, missed {dict(missed)}"
        self.recalls.append(text)
        if (logged.seen, logged.missed) != (seen, dict(missed)):
            wrong = f"acsync says {logged.seen}, {logged.missed}"
            self.problems.append(f"{published.sync_id}: {text}, but {wrong}")

    def _missed(self, record_id: int, before: Mapping[int, int], due: datetime) -> str | None:
        """Return how a change that a full sync found looks, or None if it was not due yet."""
        states, place = self.journal.states[self.name][record_id], self._place[record_id]
        state, earlier = states[place], before.get(record_id)
        if earlier is None or states[earlier].date != state.date:
            is_due = state.date is not None and datetime.fromisoformat(state.date) < due
            return ("new" if earlier is None else "dated") if is_due else None
        pairs = zip(PARTS, states[earlier].parts, state.parts, strict=True)
        return next((part for part, was, became in pairs if was != became), "other")
