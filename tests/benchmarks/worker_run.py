"""Measure what an incremental sync costs when a worker runs it every minute and nothing changed.

Run it with `python -m tests.benchmarks.worker_run`; it takes a quarter of an hour.
"""

import argparse
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import mean

import psutil

from acsync.local.embedded_postgres import with_database_url
from acsync.settings import read_database_settings
from acsync.simulator.account import Account
from acsync.simulator.server import serve
from acsync.store.database import open_database
from tests.benchmarks.environment import own_environment
from tests.benchmarks.freshness import START_SECONDS, has_published, up
from tests.benchmarks.full_sync import say
from tests.benchmarks.killer import runs_of
from tests.support.commands import wait_for

LOOK_SECONDS = 0.05
CALLS_PER_SECOND = 10

# In the first five minutes after a deployment, Prefect (3.9.1) waits for events that never come.
WARM_UP = 6


def main() -> None:
    """Measure some runs, and print the mean cost of one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=10)
    minutes = parser.parse_args().minutes
    account = Account()
    with (
        serve(account) as url,
        own_environment(url, account.options.api_key, CALLS_PER_SECOND) as home,
        closing(open_database(with_database_url(read_database_settings()))) as database,
    ):
        os.environ["ACSYNC_INTERVAL"] = "6h"
        os.environ["ACSYNC_INCREMENTAL_INTERVAL"] = "1m"
        with up(home) as process:
            wait_for("the first sync", lambda: has_published(database), START_SECONDS)
            _wait_between_runs(WARM_UP)
            worker = _worker_of(process)
            cpu, rows, size = _children_seconds(worker), *_read_prefect(home)
            starts = list(_follow(process, account, time.monotonic() + 60 * minutes))
            cpu = _children_seconds(worker) - cpu
            more_rows, larger = (
                now - before for now, before in zip(_read_prefect(home), (rows, size), strict=True)
            )
    runs = len(starts)
    say(f"{runs} runs; from the start of the process to the first call: {mean(starts):.1f} s")
    say(f"CPU seconds of a run: {cpu / runs:.2f}")
    say(
        f"in Prefect's database: {more_rows / runs:.1f} rows, {larger / runs / 1000:.0f} kB per run"
    )


def _wait_between_runs(runs: int) -> None:
    """Wait for some runs to end; one starts at each full minute."""
    time.sleep(60 * runs - time.time() % 60 + 30)


def _worker_of(up_process: psutil.Process) -> psutil.Process:
    """Return Prefect's worker, whose children are the runs."""
    return next(
        each
        for each in up_process.children(recursive=True)
        if {"prefect", "worker"} <= {*each.cmdline()}
    )


def _children_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of all children that have ended."""
    times = process.cpu_times()
    return float(times.children_user + times.children_system)


def _read_prefect(home: Path) -> tuple[int, int]:
    """Return the rows and bytes of Prefect's database."""
    with closing(sqlite3.connect(home / "prefect.db")) as prefect:
        (pages,), (free,), (size,) = (
            prefect.execute(f"pragma {name}").fetchone()
            for name in ("page_count", "freelist_count", "page_size")
        )
        sql = "select name from sqlite_master where type = 'table'"
        tables = [name for (name,) in prefect.execute(sql)]
        counts = [
            prefect.execute(f'select count(*) from "{name}"').fetchone()[0] for name in tables
        ]
    return sum(counts), (pages - free) * size


def _follow(up_process: psutil.Process, account: Account, until: float) -> Iterator[float]:
    """Yield the seconds from the start of each run to its first call."""
    known: set[int] = set()
    while time.monotonic() < until:
        for run in runs_of(up_process):
            if run.pid not in known:
                known.add(run.pid)
                began, calls = time.monotonic(), account.statistics.calls
                while account.statistics.calls == calls and run.is_running():
                    time.sleep(LOOK_SECONDS)
                yield time.monotonic() - began
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
