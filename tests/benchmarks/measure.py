"""Run one sync as a process, and measure its time, calls, memory, and the work of Postgres."""

import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil

from acsync.store.database import Database, run
from tests.benchmarks.account_server import AccountServer

SAMPLE_SECONDS = 0.05

# The image has no pyarrow, which only `acsync export` needs. Pandas imports it if it is installed.
SYNC = """
import sys
sys.modules["pyarrow"] = None
from acsync.cli import main
main()
"""


@dataclass(frozen=True)
class SyncCost:
    """The cost of one sync, from the start of its process to the end.

    Memory and CPU time are those of the process. `postgres_seconds` is the time that all sessions
    of Postgres were active.
    """

    wall_seconds: float
    before_seconds: float
    after_seconds: float
    calls: int
    refused: int
    records: int
    peak_mb: float
    cpu_seconds: float
    postgres_seconds: float
    wal_mb: float
    tables_mb: float
    growth_mb: float

    @property
    def calling_seconds(self) -> float:
        """Return the seconds from the first call to the last."""
        return self.wall_seconds - self.before_seconds - self.after_seconds


def measure_sync(database: Database, server: AccountServer, *options: str) -> SyncCost:
    """Run `acsync sync` with these options; exit if it fails."""
    server.take_calls()
    before, began = _read_postgres(database), time.monotonic()
    peak_mb, cpu_seconds = _run_sync(*options)
    ended = time.monotonic()
    after, calls = _read_postgres(database), server.take_calls()
    return SyncCost(
        wall_seconds=ended - began,
        before_seconds=calls[0].at - began,
        after_seconds=ended - calls[-1].at,
        calls=len(calls),
        refused=sum(call.status == 429 for call in calls),
        records=after["records"],
        peak_mb=peak_mb,
        cpu_seconds=cpu_seconds,
        postgres_seconds=after["seconds"] - before["seconds"],
        wal_mb=(after["wal"] - before["wal"]) / 1e6,
        tables_mb=after["tables"] / 1e6,
        growth_mb=(after["tables"] - before["tables"]) / 1e6,
    )


def _run_sync(*options: str) -> tuple[float, float]:
    """Return the peak memory in MB, without child processes, and the CPU seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = psutil.Popen([sys.executable, "-c", SYNC, "sync", *options])
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
    """Return active seconds of all sessions, bytes of WAL and of tables, and records."""
    sql = """
        select active_time / 1000 as seconds,
               (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint as wal,
               (select sum(pg_total_relation_size(oid))::bigint from pg_class
                where relnamespace = to_regnamespace(:schema) and relkind = 'r') as tables,
               (select coalesce(sum(record_count), 0)::bigint
                from {schema}.ac_freshness) as records
        from pg_stat_database where datname = current_database()
    """
    with database.begin() as connection:
        # Postgres adds the time of a session when it ends or has been idle for a while.
        run(connection, "select pg_stat_clear_snapshot()")
        return {**run(connection, sql, schema=database.schema).mappings().one()}


def fastest_ms(database: Database, sql: str, times: int = 3) -> float:
    """Run a query several times, and return the shortest time until all rows were read."""
    seconds = []
    for _ in range(times):
        with database.begin() as connection:
            run(connection, "set local search_path = {schema}")
            began = time.perf_counter()
            run(connection, sql).all()
            seconds.append(time.perf_counter() - began)
    return min(seconds) * 1000
