"""Copy a full-size simulated account twice, and print what that cost as ratios.

Run it with `make bench`; `--contacts 5000 --deals 4000` makes it short. The simulator, the flow,
Prefect's server and Postgres are processes of their own, all on this machine.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any

import httpx
import psutil

import migrations
from acsync.cli.demo import compare
from acsync.models import LISTINGS
from acsync.settings import read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.store.database import Database, open_database, run
from tests.support.commands import ACSYNC
from tests.support.environment import own_environment
from tests.support.prefect_server import free_port

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
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--latency", type=float, default=0.1)
    arguments = parser.parse_args()
    account = Account(AccountOptions(contacts=arguments.contacts, deals=arguments.deals))
    with simulator(arguments) as url, own_environment(url, account.options.api_key, arguments.rate):
        measure(account, arguments.rate)


@contextmanager
def simulator(arguments: argparse.Namespace) -> Iterator[str]:
    """Serve the account in a process of its own, and give its URL once it answers."""
    options = ("contacts", "deals", "rate", "latency")
    words = [f"--{option}={getattr(arguments, option):g}" for option in options]
    port = free_port()
    process = subprocess.Popen([*ACSYNC, "simulate", f"--port={port}", *words])
    try:
        wait_until_answered(url := f"http://127.0.0.1:{port}")
        yield url
    finally:
        process.terminate()
        process.wait()


def wait_until_answered(url: str) -> None:
    """Raise TimeoutError where nobody answers within ten seconds."""
    for _ in range(100):
        try:
            httpx.get(url)
        except httpx.ConnectError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("the simulator does not answer")


def measure(account: Account, rate: float) -> None:
    """Sync twice, compare, and time the queries."""
    database = open_database(read_database_settings())
    migrations.upgrade(database)
    needed = calls_needed(account)
    print_line("calls needed", f"{needed:,}, {needed / rate:,.1f} s at {rate:g}/s")
    for title in ("first sync", "second sync, nothing changed"):
        peak_mb = run_sync()
        print_sync(title, read_last_log(database), needed, rate, peak_mb)
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


def print_sync(title: str, log: dict[str, Any], needed: int, rate: float, peak_mb: float) -> None:
    """Print one sync's figures; the ratio is wall time against calls needed ÷ rate."""
    seconds = log["total_duration_ms"] / 1000
    changes = {
        name: [log[f"{name}_{change}"] for change in ("added", "updated", "deleted")]
        for name in ("contacts", "deals")
    }
    print_line(
        title,
        {
            "seconds": seconds,
            "ratio": round(seconds / (needed / rate), 3),
            "calls": log["api_calls"],
            "calls beyond needed": f"{log['api_calls'] / needed - 1:.2%}",
            "refused": f"{log['rate_limited'] / log['api_calls']:.2%}",
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
