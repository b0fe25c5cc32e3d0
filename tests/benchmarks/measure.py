"""Run one sync as a process of its own, and measure what it took: time, calls, memory, Postgres."""

import json
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from acsync.store.database import Database, run
from tests.benchmarks.account_server import AccountServer

SAMPLE_SECONDS = 0.05

# Where `traced_sync` writes the milliseconds between each call's turn and its departure.
TRACE = "BENCHMARK_TRACE"


@dataclass(frozen=True)
class SyncCost:
    """What one sync took, from the start of its process to the end.

    `arrivals` are the moments, in seconds, of the calls that were accepted; memory and CPU time
    are those of the process itself, `postgres_seconds` those of its sessions.
    """

    wall_seconds: float
    before_seconds: float
    after_seconds: float
    arrivals: Sequence[float]
    calls: int
    refused: int
    records: int
    turn_to_send_ms: Sequence[float]
    peak_mb: float
    cpu_seconds: float
    postgres_seconds: float
    wal_mb: float
    tables_mb: float

    @property
    def calling_seconds(self) -> float:
        """Return the seconds from the first call to the last."""
        return self.arrivals[-1] - self.arrivals[0]

    def closest_ms(self, window: int) -> float:
        """Return the least time in which a call arrived a whole window after another."""
        spans = [
            later - earlier
            for earlier, later in zip(self.arrivals, self.arrivals[window:], strict=False)
        ]
        return min(spans, default=0.0) * 1000


def measure_sync(database: Database, server: AccountServer) -> SyncCost:
    """Run `acsync sync`; ends this program where it fails."""
    server.take_calls()
    before, began = _read_postgres(database), time.monotonic()
    with TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        os.environ[TRACE] = str(trace)
        peak_mb, cpu_seconds = _run()
        ended = time.monotonic()
        turn_to_send_ms = json.loads(trace.read_text())
    after, calls = _read_postgres(database), server.take_calls()
    arrivals = [call.at for call in calls if call.status != 429]
    return SyncCost(
        wall_seconds=ended - began,
        before_seconds=calls[0].at - began,
        after_seconds=ended - calls[-1].at,
        arrivals=arrivals,
        calls=len(calls),
        refused=len(calls) - len(arrivals),
        records=after["records"],
        turn_to_send_ms=turn_to_send_ms,
        peak_mb=peak_mb,
        cpu_seconds=cpu_seconds,
        postgres_seconds=after["seconds"] - before["seconds"],
        wal_mb=(after["wal"] - before["wal"]) / 1e6,
        tables_mb=after["tables"] / 1e6,
    )


def _run() -> tuple[float, float]:
    """Return the peak memory in MB and the CPU seconds of a sync, without its children's memory."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = psutil.Popen([sys.executable, "-m", "tests.benchmarks.traced_sync", "sync"])
    peak = 0.0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss / 1e6)
        except psutil.Error:
            break
        time.sleep(SAMPLE_SECONDS)
    if process.wait():
        sys.exit("The sync failed.")
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return peak, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def _read_postgres(database: Database) -> dict[str, Any]:
    """Return the seconds its sessions were at work, the bytes of WAL and tables, the records."""
    sql = """
        select active_time / 1000 as seconds,
               (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint as wal,
               (select sum(pg_total_relation_size(oid))::bigint from pg_class
                where relnamespace = to_regnamespace(:schema) and relkind = 'r') as tables,
               (select coalesce(sum(record_count), 0)::bigint from (
                    select distinct on (data_type) record_count from {schema}.ac_published
                    order by data_type, sync_no desc) as newest) as records
        from pg_stat_database where datname = current_database()
    """
    with database.begin() as connection:
        # A session's time is counted when it ends, or is idle for a while.
        run(connection, "select pg_stat_clear_snapshot()")
        return {**run(connection, sql, schema=database.schema).mappings().one()}


def fastest_ms(database: Database, sql: str, times: int = 3) -> float:
    """Return the least milliseconds that a query took to be read whole."""
    seconds = []
    for _ in range(times):
        with database.begin() as connection:
            run(connection, "set local search_path = {schema}")
            began = time.perf_counter()
            run(connection, sql).all()
            seconds.append(time.perf_counter() - began)
    return min(seconds) * 1000
