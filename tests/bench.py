"""Copy a full-size simulated account twice, and print what that cost as ratios.

Run it with `make bench`; `--contacts 5000 --deals 4000` makes it short. The simulator, the flow,
Prefect's server and Postgres are processes of their own, all on this machine.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import psutil

import migrations
from acsync.cli.demo import compare
from acsync.models import LISTINGS
from acsync.settings import read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.requests import LoggedCall
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database, run
from tests.support.commands import ACSYNC
from tests.support.environment import own_environment
from tests.support.prefect_server import prefect_server

# Gives the calls that reached the account since it was last called.
TakeCalls: TypeAlias = Callable[[], list[LoggedCall]]

QUERIES = {
    "one contact by e-mail": "select * from {schema}.ac_contacts where email = :email",
    "deals by pipeline": (
        "select pipeline, stage, status, currency, count(*), sum(value) from {schema}.ac_deals "
        "group by 1, 2, 3, 4"
    ),
}


def main() -> None:
    """Measure, and fail where the copy is not exact."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contacts", type=int, default=82_000)
    parser.add_argument("--deals", type=int, default=75_000)
    parser.add_argument("--rate", type=float, default=10.0, help="AC_RATE_LIMIT")
    parser.add_argument("--limit", type=float, help="what the account allows, if not the same")
    parser.add_argument("--retry-after", type=int, default=1, help="what a refusal asks for")
    parser.add_argument("--latency", type=float, default=0.1)
    arguments = parser.parse_args()
    options = AccountOptions(
        contacts=arguments.contacts,
        deals=arguments.deals,
        rate_limit=arguments.limit or arguments.rate,
        retry_after_seconds=arguments.retry_after,
        latency_seconds=arguments.latency,
    )
    with (
        simulator(options) as (url, take_calls),
        own_environment(url, options.api_key, arguments.rate) as home,
        prefect_server(home) as os.environ["PREFECT_API_URL"],
    ):
        measure(Account(options), take_calls)


@contextmanager
def simulator(options: AccountOptions) -> Iterator[tuple[str, TakeCalls]]:
    """Serve the account in a process of its own; give its URL, and its calls since last asked."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_and_count, args=(options, theirs), daemon=True)
    process.start()

    def take_calls() -> list[LoggedCall]:
        ours.send("calls")
        calls: list[LoggedCall] = ours.recv()
        return calls

    try:
        yield ours.recv(), take_calls
    finally:
        process.terminate()
        process.join()


def serve_and_count(options: AccountOptions, pipe: Connection) -> None:
    """Serve until the process is ended; answer each message with the calls since the last one."""
    account = Account(options)
    with serve(account) as url:
        pipe.send(url)
        while pipe.recv():
            pipe.send([*account.statistics.log])
            account.statistics.log.clear()


def measure(account: Account, take_calls: TakeCalls) -> None:
    """Sync twice, compare, and time the queries."""
    database = open_database(read_database_settings())
    migrations.upgrade(database)
    needed, limit = calls_needed(account), account.options.rate_limit or 1.0
    print_line("calls needed", f"{needed:,}, {needed / limit:,.1f} s at {limit:g}/s")
    for title in ("first sync", "second sync, nothing changed"):
        peak_mb = run_sync()
        print_sync(title, read_last_log(database), take_calls(), needed / limit, peak_mb)
    exact = True
    for name, comparison in compare(database, account).items():
        print_line(f"{name} against the account", comparison)
        exact = exact and comparison.exact
    time_queries(database, account)
    database.close()
    if not exact:
        sys.exit("The copy is not exact.")


def calls_needed(account: Account) -> int:
    """Count the pages of 100 that hold everything; metadata has at least a page each."""
    listings = sum(max(1, ceil(len(account.metadata.listings[name]) / 100)) for name in LISTINGS)
    return ceil(account.options.contacts / 100) + ceil(account.options.deals / 100) + listings


def run_sync() -> float:
    """Run `acsync sync` as a process; gives its peak memory in MB, without its children."""
    process = psutil.Popen([*ACSYNC, "sync"])
    peak = 0.0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss / 1e6)
        except psutil.Error:
            break
        time.sleep(0.05)
    if process.wait():
        sys.exit("The sync failed.")
    return peak


def read_last_log(database: Database) -> dict[str, Any]:
    """Return the newest log row."""
    sql = "select * from {schema}.ac_sync_logs order by id desc limit 1"
    with database.begin() as connection:
        return dict(run(connection, sql).mappings().one())


def print_sync(
    title: str, log: dict[str, Any], calls: list[LoggedCall], floor: float, peak_mb: float
) -> None:
    """Print one sync's figures; `floor` is the seconds that the calls needed take at the limit.

    The ratios are the whole sync, and its first to its last call, against the floor.
    """
    seconds = log["total_duration_ms"] / 1000
    changes = {
        name: [log[f"{name}_{change}"] for change in ("added", "updated", "deleted")]
        for name in ("contacts", "deals")
    }
    print_line(
        title,
        {
            "seconds": seconds,
            "ratio": round(seconds / floor, 3),
            "first to last call": round((calls[-1].at - calls[0].at) / floor, 3),
            "calls": log["api_calls"],
            "refused": log["rate_limited"],
            "peak MB": round(peak_mb),
            "records": [log["contacts_count"], log["deals_count"]],
            "added, updated, deleted": changes,
        },
    )


def time_queries(database: Database, account: Account) -> None:
    """Print the best of three runs of each query, in milliseconds."""
    email = account.expected("contacts", account.ids("contacts")[-1])["email"]
    for title, sql in QUERIES.items():
        times = []
        for _ in range(3):
            with database.begin() as connection:
                began = time.perf_counter()
                run(connection, sql, **({"email": email} if ":email" in sql else {})).all()
                times.append((time.perf_counter() - began) * 1000)
        print_line(title, f"{min(times):.1f} ms")


def print_line(title: str, figures: object) -> None:
    """Print one figure a line, so that runs can be compared."""
    text = json.dumps(figures, default=str) if isinstance(figures, dict) else str(figures)
    sys.stdout.write(f"{title}: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
