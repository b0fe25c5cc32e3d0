"""Copy a million records once, then sync incrementally every minute at five calls per second.

Run it with `python -m tests.benchmarks.large_account`; it takes half an hour. The full sync has no
rate limit. Then 20 records change every second, and another one whose change is timed until it can
be read.
"""

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from acsync.datasets import DATASETS, DatasetName
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database, run
from tests.benchmarks.account_server import AccountServer
from tests.benchmarks.full_sync import say, served, vacuum
from tests.benchmarks.growth import CALLS_PER_SECOND
from tests.benchmarks.measure import SyncCost, measure_sync
from tests.benchmarks.report import FOLDER, markdown_table

RATE = 5
EVERY_SECONDS = 60.0
MAX_DURATION = "2h"


@dataclass
class Probes:
    """Changes one record every second, and times how long that cannot be read."""

    server: AccountServer
    database: Database
    waiting: dict[tuple[DatasetName, int], float] = field(default_factory=dict)
    ages: list[float] = field(default_factory=list)
    _made: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Change records and look for them until the block ends."""
        stopping = threading.Event()
        threads = [
            threading.Thread(target=self._repeat, args=(act, stopping))
            for act in (self._change, self._look)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    def _repeat(self, act: Callable[[], None], stopping: threading.Event) -> None:
        while not stopping.wait(1):
            act()

    def _change(self) -> None:
        self._made += 1
        name = [*DATASETS][self._made % len(DATASETS)]
        at = time.time()
        for record_id in self.server.act("change", name, 1):
            self.waiting[name, record_id] = at

    def _look(self) -> None:
        """Note the ages of the changes that can be read now."""
        for name in DATASETS:
            waiting = {key: at for (each, key), at in [*self.waiting.items()] if each == name}
            sql = """
                select record_id, updated_at from {versions}
                where valid_to is null and record_id = any(cast(:ids as bigint[]))
            """
            with self.database.begin() as connection:
                rows = run(connection, sql, name, ids=[*waiting]).all()
            for row in rows:
                at = waiting[row.record_id]
                if row.updated_at and row.updated_at >= datetime.fromtimestamp(int(at), UTC):
                    self.ages.append(time.time() - at)
                    del self.waiting[name, row.record_id]


def main() -> None:
    """Measure, and write a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--syncs", type=int, default=12)
    parser.add_argument("--changes", type=float, default=20, help="per second")
    arguments = parser.parse_args()
    contacts = round(arguments.records * 82 / 157)
    options = AccountOptions(
        contacts=contacts,
        deals=arguments.records - contacts,
        rate_limit=None,
        latency_seconds=0.1,
        # With few, changed records lose all their tags, and wait for the full sync.
        tags=60,
    )
    with served(options, CALLS_PER_SECOND) as (server, database):
        os.environ["ACSYNC_MAX_DURATION"] = MAX_DURATION
        full = measure_sync(database, server)
        say(f"full: {describe(full)}")
        vacuum(database)
        os.environ["AC_RATE_LIMIT"] = str(RATE)
        probes = Probes(server, database)
        with server.churn(arguments.changes), probes.running():
            costs = [*sync_every_minute(server, database, arguments.syncs)]
    FOLDER.mkdir(exist_ok=True)
    table = markdown_table([cells(arguments.records, full, costs, probes)])
    (FOLDER / "large_account.md").write_text(table)
    say(f"\n{table}\nWritten to {FOLDER}/large_account.md")


def sync_every_minute(server: AccountServer, database: Database, syncs: int) -> Iterator[SyncCost]:
    """Start an incremental sync every minute, as the schedule does, and yield its cost."""
    due = time.monotonic() + EVERY_SECONDS
    for _ in range(syncs):
        time.sleep(max(due - time.monotonic(), 0))
        due += EVERY_SECONDS
        cost = measure_sync(database, server, "--incremental")
        say(describe(cost))
        yield cost


def describe(cost: SyncCost) -> str:
    """Return calls, seconds and memory of a sync."""
    return (
        f"{cost.calls:,} calls, {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} s CPU, "
        f"{cost.peak_mb:.0f} MB, WAL {cost.wal_mb:.1f} MB"
    )


def cells(
    records: int, full: SyncCost, costs: Sequence[SyncCost], probes: Probes
) -> dict[str, str]:
    """Return the cells of the table by their title; the first sync is a warm-up."""
    ages, steady = sorted(probes.ages), costs[1:]
    p50, p95 = (ages[int(len(ages) * share)] for share in (0.5, 0.95))
    return {
        "records": f"{records:,}",
        "calls of a full sync": f"{full.calls:,}",
        "its minutes at 5 calls/s (computed)": f"{full.calls / RATE / 60:.0f}",
        "its peak MB": f"{full.peak_mb:.0f}",
        "calls of an incremental sync": f"{max(cost.calls for cost in steady):,} at most",
        "its seconds": f"{max(cost.wall_seconds for cost in steady):.1f} at most",
        "its CPU seconds": f"{max(cost.cpu_seconds for cost in steady):.1f} at most",
        "its peak MB, at most": f"{max(cost.peak_mb for cost in costs):.0f}",
        "age of a change, seconds": f"p50 {p50:.0f}, p95 {p95:.0f}, at most {ages[-1]:.0f}",
        "changes that were timed": f"{len(ages):,}; {len(probes.waiting)} still waiting",
    }


if __name__ == "__main__":
    main()
