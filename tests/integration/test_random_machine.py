"""Published records are what the account held between `read_from` and now, and never go back.

Each chain is some full and incremental syncs of a small account. They crash at any statement, lose
connections, reach deadlines, meet failing calls and refused publications, and resume each other,
while the account changes all the time. After each incremental sync, every change that was made
before it is published. `ACSYNC_CHAINS=2000` runs many chains, `ACSYNC_FIRST_CHAIN` repeats one.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Connection, event, make_url

from acsync.activecampaign.missing_values import MissingValues
from acsync.activecampaign.sideloads import OptionalRelations
from acsync.datasets import DATASETS, DatasetName, Record
from acsync.errors import AcsyncError, StoreError
from acsync.forgotten import Forgotten
from acsync.results import DatasetResult, SyncKind, SyncResult
from acsync.schedule import DEFAULT_INTERVAL
from acsync.settings import Settings, read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import expected_record
from acsync.simulator.fault_injection import BAD_GATEWAY, Fault
from acsync.simulator.requests import Answer, Call
from acsync.store.database import Database
from acsync.store.inspection import TABLES
from acsync.store.lease import start_sync
from acsync.store.snapshot import published_ids, published_records
from acsync.store.sync_log import finish_log
from acsync.sync.context import SyncContext
from acsync.sync.copy_slice import copy_slice
from acsync.sync.deadline import Deadline, longest_resumable
from acsync.sync.incremental import Changed, read_changes, require_starts
from acsync.sync.progress import Progress
from acsync.sync.publish import publish
from acsync.sync.read import read_newest_again
from acsync.sync.readers import Readers
from acsync.sync.verify import Verified, verify
from tests.support.in_memory import client_of
from tests.support.syncs import EXPIRE, compare_copy, fetch, plan_dataset

CHAINS = int(os.environ.get("ACSYNC_CHAINS", "12"))
FIRST_CHAIN = int(os.environ.get("ACSYNC_FIRST_CHAIN", "0"))

KEPT = ("ac_currencies", "ac_field_columns", "ac_schedule", "ac_stored_digits")
# Stored rows that differ from what the versions say. A tag can be renamed after a change.
CHANGE = "record_id, sync_no, list_id, field, field_id, was, became"
STORED = {
    "ac_stored_tags": ("*", "ac_computed_tags()"),
    "ac_stored_lists": ("*", "ac_computed_lists()"),
    "ac_stored_changes where field is distinct from 'tags'": (
        CHANGE,
        "ac_computed_changes() where field is distinct from 'tags'",
    ),
}
EMPTY = f"truncate {', '.join(name for name in TABLES if name not in KEPT)} restart identity"
PASS = """
    update ac_staged_slices set staged_at = staged_at - interval '{0} s';
    update ac_staged_plans set planned_at = planned_at - interval '{0} s';
    update ac_published set synced_at = synced_at - interval '{0} s',
                            read_from = read_from - interval '{0} s';
    update ac_sync_logs set "timestamp" = "timestamp" - interval '{0} s',
                            finished_at = finished_at - interval '{0} s';
    update ac_contact_versions set read_at = read_at - interval '{0} s';
    update ac_deal_versions set read_at = read_at - interval '{0} s';
"""
# The newest publication of each dataset, and when its last full sync read its oldest record.
PUBLISHED = """
    select distinct on (data_type) data_type, sync_no, published.kind,
           extract(epoch from (
               select read_from from ac_published as proven
               where proven.data_type = published.data_type and proven.kind = 'full'
               order by sync_no desc limit 1
           ))::float8,
           extract(epoch from log.timestamp)::float8, record_count
    from ac_published as published join ac_sync_logs as log on log.id = sync_no
    order by data_type, sync_no desc
"""
VERSIONS: dict[DatasetName, str] = {
    "contacts": "ac_contact_versions",
    "deals": "ac_deal_versions",
}
MINUTES_BETWEEN = (0, 0, 1, 5, 9, 14, 16, 25, 29, 31, 45, 200)
ENDINGS = ("crash", "crash after commit", "lost connection", "lost answer")


class Crash(BaseException):
    """The process of a sync has died."""


@dataclass
class State:
    """One state of a record in the account, valid between two moments of the clock.

    It began at `began` or later, and not after `settled`.
    """

    began: float
    ended: float
    content: Record
    settled: float = 0.0


class History:
    """All states of an account's records."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._states: dict[DatasetName, dict[int, list[State]]] = {
            name: {
                record_id: [self._state(name, record_id, 0.0)] for record_id in account.ids(name)
            }
            for name in DATASETS
        }

    def change(self, name: DatasetName, chance: Random) -> None:
        """Add, change or delete some records."""
        began = time.time()
        acts: dict[str, Callable[[DatasetName, int], list[int]]] = {
            "add": self._account.add,
            "change": self._account.change,
            "delete": self._account.delete,
        }
        kind = chance.choice([*acts])
        ids = acts[kind](name, chance.randint(1, 3))
        ended = time.time()
        for record_id in ids:
            states = self._states[name].setdefault(record_id, [])
            if states:
                states[-1].ended = ended
            if kind != "delete":
                states.append(self._state(name, record_id, began))
                states[-1].settled = ended

    def shift(self, seconds: float) -> None:
        """Let time pass."""
        for state in self._all():
            state.began -= seconds
            state.ended -= seconds
            state.settled -= seconds

    def place(self, name: DatasetName, number: int, record: Record) -> int:
        """Return which of its states a record shows."""
        states = enumerate(self._states[name][number])
        return max(place for place, state in states if state.content == record)

    def require_seen(self, name: DatasetName, places: dict[int, int], since: float) -> None:
        """Check that the records show every change that was made before a moment."""
        for number, states in self._states[name].items():
            settled = [place for place, state in enumerate(states) if state.settled < since]
            if settled and states[-1].ended == float("inf"):
                assert number in places, f"{name} {number} is missing"
                assert places[number] >= settled[-1], f"{name} {number} is not up to date"

    def check(self, name: DatasetName, records: dict[int, Record], read_from: float) -> None:
        """Check each record against its states since then, and that no lasting one is missing."""
        for number, record in records.items():
            states = [state for state in self._states[name][number] if state.ended >= read_from]
            assert states, f"{name} {number} was deleted before the oldest read"
            assert any(state.content == record for state in states), f"{name} {number} is older"
        lasting = {
            number
            for number, states in self._states[name].items()
            if states[0].began < read_from and states[-1].ended == float("inf")
        }
        assert lasting <= {*records}, f"{name} {lasting - {*records}} are missing"

    def _all(self) -> Iterator[State]:
        for records in self._states.values():
            for states in records.values():
                yield from states

    def _state(self, name: DatasetName, number: int, began: float) -> State:
        return State(began, float("inf"), expected_record(self._account, name, number))


@dataclass
class Saboteur:
    """Stops a sync at its nth statement or commit."""

    database: Database
    ending: str | None = None
    countdown: int = 0
    struck: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        engine = self.database.engine
        event.listen(engine, "before_cursor_execute", self._on_statement)
        event.listen(engine, "commit", self._on_commit)

    def arm(self, ending: str, countdown: int) -> None:
        """Strike at a statement or commit from now on."""
        self.ending, self.countdown, self.struck = ending, countdown, False

    def disarm(self) -> None:
        """Stop striking."""
        if self.struck and self.ending:
            self.counts[self.ending] += 1
        self.ending = None

    def _is_due(self) -> bool:
        if self.ending is None or self.struck:
            return False
        self.countdown -= 1
        return self.countdown < 0

    def _on_statement(self, connection: Connection, *_: Any) -> None:
        if not self._is_due() or self.ending not in ("crash", "lost connection"):
            return
        self.struck = True
        if self.ending == "crash":
            raise Crash
        self._terminate(connection)

    def _on_commit(self, connection: Connection) -> None:
        if not self._is_due():
            return
        self.struck = True
        if self.ending == "lost connection":
            self._terminate(connection)
            return
        driver: Any = connection.connection.driver_connection
        if self.ending != "crash":
            driver.commit()
        if self.ending == "lost answer":
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        raise Crash

    def _terminate(self, connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        url = make_url(self.database.engine.url).set(drivername="postgresql")
        with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as other:
            other.autocommit = True
            other.cursor().execute(
                "select pg_terminate_backend(%s, 5000)", [driver.info.backend_pid]
            )


class Chain:
    """Some syncs of one account, one after the other."""

    def __init__(self, database: Database, saboteur: Saboteur, seed: int) -> None:
        self.database, self.saboteur = database, saboteur
        self.chance = chance = Random(seed)
        options = AccountOptions(
            contacts=chance.randint(15, 45),
            deals=chance.randint(10, 30),
            seed=seed,
            # With few, changed records lose all of them, and wait for the full sync.
            values_per_record=6,
            tags=60,
            rate_limit=None,
            masked_share=0.0,
            date_filter=chance.choice(["times", "times", "days"]),
            clock_offset_seconds=chance.choice([-400.0, 0.0, 400.0]),
        )
        self.account = Account(options)
        self.history = History(self.account)
        self.settings = self._settings()
        self.refused: list[DatasetName] = []
        self.seen: dict[str, int] = {}
        self.places: dict[DatasetName, dict[int, int]] = {name: {} for name in DATASETS}
        self.counts: Counter[str] = Counter()
        self.oldest_seconds = 0.0

    def _settings(self) -> Settings:
        variables = {
            "AC_API_URL": "http://localhost:1",
            "AC_API_KEY": "key",
            "POSTGRES_URL": self.database.engine.url.render_as_string(hide_password=False),
            "LIMIT_PER_PAGE": str(self.chance.choice([4, 8, 15])),
            "AC_RATE_LIMIT": "1000",
        }
        limit = self.chance.choice([None, "20m", "40m"])
        return read_settings(**variables, **({"ACSYNC_MAX_DURATION": limit} if limit else {}))

    def run(self) -> None:
        """Run bad syncs, then good ones, to show that nothing is stuck."""
        for _ in range(self.chance.randint(2, 6)):
            self.pass_time()
            self.toggle_refusal()
            self.sync_badly()
            self.check()
        self.allow_all()
        self.require_exact_end()

    def require_exact_end(self) -> None:
        """Check that the second good sync is exact; the first may resume or refuse old slices."""
        for _ in range(2):
            result = self.sync()
            self.check()
            if self._is_exact():
                return
        raise AssertionError(f"two good syncs were not enough: {result}")

    def _is_exact(self) -> bool:
        have_same_ids = all(
            published_ids(self.database, name) == self.account.ids(name) for name in DATASETS
        )
        compared = compare_copy(self.database, self.account).values() if have_same_ids else ()
        return have_same_ids and all(comparison.exact for comparison in compared)

    def pass_time(self) -> None:
        """Let minutes pass while the account changes; Postgres refuses no record then."""
        self.allow_all()
        seconds = 60 * self.chance.choice(MINUTES_BETWEEN)
        fetch(self.database, PASS.format(seconds))
        self.history.shift(seconds)
        self.account.clock_offset += seconds
        for _ in range(self.chance.randint(0, 4)):
            self.history.change(self.chance.choice([*DATASETS]), self.chance)

    def toggle_refusal(self) -> None:
        """Make Postgres refuse a record, or no record."""
        if self.chance.random() < 0.75:
            return
        name = self.chance.choice([*DATASETS])
        number = self.chance.choice(self.account.ids(name))
        condition = self.chance.choice([f"record_id <> {number}", "valid_to is null"])
        sql = f"alter table {VERSIONS[name]} add constraint users check ({condition}) not valid"
        fetch(self.database, sql)
        self.refused.append(name)

    def allow_all(self) -> None:
        for name in self.refused:
            fetch(self.database, f"alter table {VERSIONS[name]} drop constraint users")
        self.refused.clear()

    def sync_badly(self) -> None:
        """Run a sync that usually fails."""
        kind: SyncKind = "incremental" if self.seen and self.chance.random() < 0.6 else "full"
        statements, calls = (180, 25) if kind == "full" else (60, 8)
        if self.chance.random() < (0.7 if kind == "full" else 0.4):
            self.saboteur.arm(self.chance.choice(ENDINGS), self.chance.randint(0, statements))
        trouble = self.chance.choice([None, None, "deadline", "failing calls"])
        self.counts[f"sync with {trouble or 'good calls'}"] += 1
        with suppress(Crash, AcsyncError):
            self.sync(trouble, self.chance.randint(0, calls), kind)

    def sync(
        self, trouble: str | None = None, after_calls: int = 0, kind: SyncKind = "full"
    ) -> SyncResult:
        """Run one sync as the flow does, while the account changes."""
        client = client_of(self.account)
        last = self.account.statistics.calls + after_calls

        def change(call: Call, answer: Answer) -> Answer:
            if trouble == "deadline" and call.number > last:
                client.close("The sync took too long.")
            self.history.change(self.chance.choice([*DATASETS]), self.chance)
            return answer

        is_quiet = self.saboteur.ending is None and trouble is None
        if not is_quiet:
            self.account.faults.add(Fault("changes", share=0.15, reply=change))
        if trouble == "failing calls":
            self.account.faults.add(
                Fault("fails", when=lambda call: call.number > last, reply=BAD_GATEWAY)
            )
        try:
            deadline = Deadline(client, self.settings.max_duration, DEFAULT_INTERVAL)
            with closing(client), closing(deadline):
                return self._steps(client, deadline, kind)
        finally:
            self.saboteur.disarm()
            self.account.faults.clear()
            fetch(self.database, EXPIRE)

    def _steps(self, client: Any, deadline: Deadline, kind: SyncKind) -> SyncResult:
        datasets: tuple[DatasetName, ...] = (
            self.chance.choice([("contacts",), ("deals",)])
            if self.chance.random() < 0.15 and self.saboteur.ending
            else ("contacts", "deals")
        )
        sync = start_sync(self.database, "a test", None, kind)
        context = SyncContext(
            self.settings,
            datasets,
            accept_shrink=True,
            database=self.database,
            client=client,
            sync=sync,
            missing_values={name: MissingValues(DATASETS[name]) for name in datasets},
            optional_relations={name: OptionalRelations() for name in datasets},
            deadline=deadline,
            progress=Progress(client.rate_limiter),
            readers=Readers(client, self.settings.rate_limit),
            forgotten=Forgotten(),
            recount_pauses=(0.0, 0.0),
        )
        verified: list[Verified | Changed] = []
        failures: dict[DatasetName, str] = {}
        starts = require_starts(context) if kind == "incremental" else {}
        for name in starts or datasets:
            try:
                verified.append(
                    read_changes(context, name, starts[name])
                    if starts
                    else self._copy(context, name)
                )
            except AcsyncError as error:
                failures[name] = str(error)
        try:
            return self._publish(context, verified, failures)
        except AcsyncError as error:
            results = dict.fromkeys(datasets, DatasetResult(error=str(error)))
            with self.database.begin() as connection:
                limiter = client.rate_limiter
                finish_log(connection, sync, results, limiter.counts, limiter.pace)
            raise

    def _copy(self, context: SyncContext, name: DatasetName) -> Verified:
        job = plan_dataset(context, name)
        slices = self.chance.sample(job.slices, len(job.slices))
        copied = [copy_slice(context, job, part) for part in slices]
        return verify(context, job, copied, read_newest_again(context, job))

    def _publish(
        self,
        context: SyncContext,
        verified: list[Verified | Changed],
        failures: dict[DatasetName, str],
    ) -> SyncResult:
        """Retry publishing as the flow's task does."""
        for is_last in (False, True):
            try:
                result = publish(context, verified, failures)
            except StoreError:
                if is_last:
                    raise
            else:
                self._count(result, context.sync.kind)
                return result
        raise AssertionError("the last try returns or raises")

    def _count(self, result: SyncResult, sync_kind: SyncKind) -> None:
        for dataset in result.datasets.values():
            error = dataset.error or ""
            is_refused = error.startswith("Postgres refused to store")
            kind = "refused" if is_refused else "not published" if error else "published"
            self.counts[kind] += 1
            self.counts[f"{kind}, {sync_kind}"] += 1
            self.counts["published, resumed"] += any(
                "taken over" in warning for warning in dataset.warnings
            )

    def check(self) -> None:
        """Compare what was published since the last check with the account's history."""
        for stored, (columns, computed) in STORED.items():
            pair = [f"select {columns} from {rows}" for rows in (stored, computed)]
            for query, other in (pair, pair[::-1]):
                assert not fetch(self.database, f"{query} except all {other}"), stored
        limit = longest_resumable(self.settings.max_duration, DEFAULT_INTERVAL)
        for name, number, kind, read_from, started, count in fetch(self.database, PUBLISHED):
            if self.seen.get(name) == number:
                continue
            self.seen[name] = number
            records = published_records(self.database, name, published_ids(self.database, name))
            assert len(records) == count
            assert read_from <= started
            places = {each: self.history.place(name, each, records[each]) for each in records}
            back = [
                each for each, place in places.items() if place < self.places[name].get(each, 0)
            ]
            assert not back, f"{name} {back} went back"
            self.places[name] |= places
            self.history.check(name, records, read_from)
            if kind == "incremental":
                self.history.require_seen(name, places, started)
                continue
            assert timedelta(seconds=started - read_from) <= limit
            self.oldest_seconds = max(self.oldest_seconds, started - read_from)


@contextmanager
def noted(seed: int) -> Iterator[None]:
    """Add the number of the chain to any failure."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"chain {seed}: ACSYNC_FIRST_CHAIN={seed} ACSYNC_CHAINS=1")
        raise


def run_chains(database: Database, show: Callable[[str], object]) -> Counter[str]:
    """Run all chains, and return how often each event happened."""
    # No test here depends on the disk.
    name = database.engine.url.database
    fetch(database, f'alter database "{name}" set synchronous_commit = off')
    database.engine.dispose()
    saboteur, counts, oldest = Saboteur(database), Counter[str](), 0.0
    for seed in range(FIRST_CHAIN, FIRST_CHAIN + CHAINS):
        fetch(database, EMPTY)
        chain = Chain(database, saboteur, seed)
        with noted(seed):
            chain.run()
        counts += chain.counts
        oldest = max(oldest, chain.oldest_seconds)
        if seed % 25 == 24 and CHAINS > 100:
            show(f"{seed + 1} chains; {counts + saboteur.counts}; oldest read {oldest:.0f} s")
    return counts + saboteur.counts


def test_published_records_were_true_since_the_oldest_read(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """For every record, after any chain of failures."""

    def show(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)  # noqa: T201  # a run of hours

    counts = run_chains(database, show)
    show(str(dict(counts))) if CHAINS > 100 else None

    assert counts["published"] > CHAINS
    assert counts["published, incremental"] > CHAINS // 2
