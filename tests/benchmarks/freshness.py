"""Measure how old a change is when it can be read, with incremental syncs every minute.

Run it with `make freshness`; it takes an hour and ten minutes. For a short run:
`make freshness ARGUMENTS="--minutes 6 --full-minutes 3"`. `acsync up` runs as users start it, with
its Prefect server, worker and Postgres, and copies a simulated account that changes all the time.
Every few minutes the process of a sync is killed with SIGKILL.

Each publication is compared with the journal of the account. Nothing may be lost or invented, and
nothing may go back in time. At the end a full sync must be exact.
"""

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil

from acsync.datasets import DATASETS
from acsync.local.embedded_postgres import with_database_url
from acsync.settings import read_database_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database, run
from acsync.store.sync_status import read_status
from tests.benchmarks.environment import own_environment
from tests.benchmarks.full_sync import say
from tests.benchmarks.journal import Journal
from tests.benchmarks.killer import Killer
from tests.benchmarks.publications import Age, Follower, Publication
from tests.support.commands import ACSYNC, ended, wait_for
from tests.support.prefect_server import free_port
from tests.support.syncs import compare_copy

CALLS_PER_SECOND = 10
LATENCY_SECONDS = 0.1
DATED = ("new", "dated")
LOOK_SECONDS = 0.2
START_SECONDS = 300


def main() -> None:
    """Measure; exit with a message if something was lost, invented or went back."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--full-minutes", type=int, default=15)
    parser.add_argument("--contacts", type=int, default=8_200)
    parser.add_argument("--deals", type=int, default=7_500)
    parser.add_argument("--changes", type=float, default=20, help="per second")
    parser.add_argument("--kill-every", type=float, default=390, help="seconds; 0: never")
    arguments = parser.parse_args()
    options = AccountOptions(
        contacts=arguments.contacts,
        deals=arguments.deals,
        rate_limit=CALLS_PER_SECOND,
        latency_seconds=LATENCY_SECONDS,
        undated=("tags", "lists", "custom fields"),
        # The simulator draws all tags of a changed record again. With few, many lose them all, and
        # wait for the full sync.
        tags=60,
    )
    account = Account(options)
    journal = Journal(account)
    with (
        serve(account) as url,
        own_environment(url, options.api_key, CALLS_PER_SECOND) as home,
        closing(open_database(with_database_url(read_database_settings()))) as database,
    ):
        os.environ["ACSYNC_INTERVAL"] = f"{arguments.full_minutes}m"
        os.environ["ACSYNC_INCREMENTAL_INTERVAL"] = "1m"
        followers = [Follower(database, journal, name) for name in DATASETS]
        with up(home) as process:
            wait_for("the first sync", lambda: has_published(database), START_SECONDS)
            killer = Killer(process, database, arguments.kill_every or float("inf"))
            with journal.changing(arguments.changes):
                follow(followers, arguments.minutes * 60, killer)
        describe(followers, killer, database, account, home)
        finish(followers, account, database)


@contextmanager
def up(home: Path) -> Iterator[psutil.Process]:
    """Run `acsync up` until the block ends; its log is in Prefect's home."""
    home.mkdir(parents=True, exist_ok=True)
    command = [*ACSYNC, "up", f"--port={free_port()}", f"--web-port={free_port()}"]
    with (
        (home / "up.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
        ended(process, within_seconds=60),
    ):
        yield psutil.Process(process.pid)


def has_published(database: Database) -> bool:
    """Return whether the first full sync was published."""
    with suppress(Exception):  # acsync up is still creating the tables
        return bool(read_status(database).statistics["successful_syncs"])
    return False


def follow(followers: Sequence[Follower], seconds: float, killer: Killer) -> None:
    """Look at the copy all the time, and say what was published."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for follower in followers:
            if published := follower.look(time.time()):
                say_published(follower, published)
        killer.look()
        time.sleep(LOOK_SECONDS)


def say_published(follower: Follower, published: Publication) -> None:
    """Print a line about a publication, and the problems that it shows."""
    seconds = [age.seconds for age in follower.ages if age.visible_at == published.visible_at]
    oldest = f"{max(seconds):.0f} s" if seconds else "-"
    kind, name = published.kind, published.name
    recall = f"; {follower.recalls[-1]}" if kind == "full" and follower.recalls else ""
    say(
        f"{time.strftime('%H:%M:%S')} {published.sync_id} {kind} {name}: {len(seconds)} changes, "
        f"the oldest {oldest}{recall}"
    )
    for problem in follower.problems:
        if published.sync_id in problem:
            say(f"PROBLEM {problem}")


def finish(followers: Sequence[Follower], account: Account, database: Database) -> None:
    """Sync once more and compare everything; exit with a message if there was a problem."""
    status = subprocess.run([*ACSYNC, "sync"], check=False).returncode
    for follower in followers:
        if published := follower.look(time.time()):
            say_published(follower, published)
    problems = [problem for follower in followers for problem in follower.problems]
    comparisons = compare_copy(database, account)
    if status or not all(comparison.exact for comparison in comparisons.values()):
        problems.append(f"The last sync ended with {status}: {comparisons}")
    if problems:
        sys.exit("\n".join([*problems[:50], f"{len(problems)} problems"]))
    say(f"exact: {comparisons}")


def describe(
    followers: Sequence[Follower],
    killer: Killer,
    database: Database,
    account: Account,
    home: Path,
) -> None:
    """Print ages, calls, and how the runs ended."""
    ages = [age for follower in followers for age in follower.ages]
    disturbed = [*list_full_syncs(database), *list_pauses(followers, killer)]
    dated = [age for age in ages if age.state.kind in DATED]
    undated = [age for age in ages if age.state.kind not in DATED]
    calm = [age for age in dated if not any(is_during(age, *span) for span in disturbed)]
    say(f"all dated changes: {percentiles(dated)}")
    say(f"dated changes outside full syncs and kills: {percentiles(calm)}")
    say(f"changes that move no date: {percentiles(undated)}")
    say(f"kills: {len(killer.killed_at)}; calls: {account.statistics.calls:,}")
    sql = """
        select kind, count(*) as syncs, count(*) filter (where overall_success) as complete,
               sum(api_calls) as calls, round(avg(total_duration_ms) / 1000.0, 1) as seconds
        from {schema}.ac_sync_logs group by kind order by kind
    """
    with database.begin() as connection:
        for row in run(connection, sql):
            say(str(dict(row._mapping)))
    with closing(sqlite3.connect(home / "prefect.db")) as prefect:
        runs = prefect.execute("select state_name, count(*) from flow_run group by 1 order by 1")
        say(f"runs in Prefect: {dict(runs.fetchall())}")


def list_full_syncs(database: Database) -> list[tuple[float, float]]:
    """Return when full syncs began and ended."""
    sql = """
        select extract(epoch from timestamp) as began, extract(epoch from finished_at) as ended
        from {schema}.ac_sync_logs where kind = 'full' and finished_at is not null
    """
    with database.begin() as connection:
        return [(float(row.began), float(row.ended)) for row in run(connection, sql)]


def list_pauses(followers: Sequence[Follower], killer: Killer) -> list[tuple[float, float]]:
    """Return the time from each kill to the second publication after it."""
    visible = sorted(each.visible_at for each in followers[0].publications)
    return [
        (killed_at, next((at for at in visible if at > killed_at), time.time()))
        for killed_at in killer.killed_at
    ]


def is_during(age: Age, began: float, ended_at: float) -> bool:
    """Return whether a change waited during this time."""
    return age.state.began < ended_at and age.visible_at > began


def percentiles(ages: Sequence[Age]) -> str:
    """Return the median, the 95th percentile and the highest age."""
    seconds = sorted(age.seconds for age in ages)
    if not seconds:
        return "none"
    p50, p95 = (seconds[int(len(seconds) * share)] for share in (0.5, 0.95))
    return f"{len(seconds):,}; p50 {p50:.0f} s, p95 {p95:.0f} s, at most {seconds[-1]:.0f} s"


if __name__ == "__main__":
    # An interrupted benchmark stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
