"""Copy a full-size simulated account three times, and say what each sync cost, mostly as ratios.

Run it with `make bench`; with SMALL=1 it takes two minutes. The account, the sync, Prefect's server
and Postgres are processes of their own, all on this machine.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

import migrations
from acsync.models import LISTINGS
from acsync.settings import read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.store.database import Database, open_database
from acsync.web.queries import read_cookbook
from tests.benchmarks.account_server import AccountServer, account_server
from tests.benchmarks.measure import SyncCost, fastest_ms, measure_sync
from tests.benchmarks.report import FOLDER, bar_chart, markdown_table
from tests.support.environment import own_environment
from tests.support.prefect_server import prefect_server
from tests.support.sync_results import compare_copy

CHANGED_SHARE = 0.01
SLOWEST_MS = 200.0


@dataclass(frozen=True)
class Row:
    """One sync: its name, what it cost, and the calls it needed at least."""

    title: str
    cost: SyncCost
    needed: int
    limit: float

    @property
    def of_floor(self) -> float:
        """Return wall time over the time that the needed calls take at the limit."""
        return self.cost.wall_seconds * self.limit / self.needed

    def cells(self) -> dict[str, str]:
        """Return what the table shows."""
        cost, floor = self.cost, self.needed / self.limit
        sent = sorted(cost.turn_to_send_ms)
        return {
            "sync": self.title,
            "wall s": f"{cost.wall_seconds:.1f}",
            "wall ÷ floor": f"{self.of_floor:.3f}",
            "first to last call ÷ floor": f"{cost.calling_seconds / floor:.3f}",
            "before, after s": f"{cost.before_seconds:.1f}, {cost.after_seconds:.1f}",
            "calls ÷ needed": f"{cost.calls / self.needed:.4f}",
            "refused": f"{cost.refused} ({cost.refused / cost.calls:.2%})",
            "closest 10 calls ms": f"{cost.closest_ms(round(self.limit)):.0f}",
            "turn to send ms, median, p99": f"{sent[len(sent) // 2]:.1f}, "
            f"{sent[len(sent) * 99 // 100]:.1f}",
            "peak MB": f"{cost.peak_mb:.0f}",
            "CPU s a 1,000 records": f"{cost.cpu_seconds * 1000 / cost.records:.3f}",
            "Postgres s": f"{cost.postgres_seconds:.1f}",
            "WAL MB": f"{cost.wal_mb:.1f}",
            "tables MB": f"{cost.tables_mb:.0f}",
        }


def main() -> None:
    """Measure, and fail where a copy is not exact."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contacts", type=int, default=82_000)
    parser.add_argument("--deals", type=int, default=75_000)
    parser.add_argument("--rate", type=float, default=10.0, help="AC_RATE_LIMIT")
    parser.add_argument("--limit", type=float, default=10.0, help="what the account allows; 0: all")
    parser.add_argument("--windows", nargs="+", default=["sliding"], choices=["sliding", "fixed"])
    parser.add_argument("--retry-after", type=int, default=1, help="what a refusal asks for")
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--jitter", type=float, default=0.0, help="how late calls arrive at most")
    words = parser.parse_args()
    rows = []
    for window in words.windows:
        options = AccountOptions(
            contacts=words.contacts,
            deals=words.deals,
            rate_limit=words.limit or None,
            rate_window=window,
            retry_after_seconds=words.retry_after,
            latency_seconds=words.latency,
            arrival_jitter_seconds=words.jitter,
        )
        with served(options, words.rate) as (server, database):
            rows += three_syncs(server, database, Account(options), words.limit or words.rate)
            if words.contacts == parser.get_default("contacts"):
                print_questions(database)
    title = (
        f"{words.contacts:,} contacts, {words.deals:,} deals, {words.latency * 1000:g} ms a call"
    )
    save(title, rows)


@contextmanager
def served(options: AccountOptions, rate: float) -> Iterator[tuple[AccountServer, Database]]:
    """Yield an account server and a migrated, empty database, with a Prefect server running."""
    with (
        account_server(options) as server,
        own_environment(server.url, options.api_key, rate) as home,
        prefect_server(home) as os.environ["PREFECT_API_URL"],
    ):
        database = open_database(read_database_settings())
        migrations.upgrade(database)
        yield server, database
        database.close()


def three_syncs(
    server: AccountServer, database: Database, account: Account, limit: float
) -> list[Row]:
    """Sync an account that is new, then unchanged, then changed a little; compare each time."""
    rows = []
    window = account.options.rate_window
    for title in ("first", "unchanged", "1 % changed"):
        if title == "1 % changed":
            change(server, account)
        cost = measure_sync(database, server)
        rows.append(Row(f"{title}, {window}", cost, calls_needed(account), limit))
        say(" · ".join(f"{name} {text}" for name, text in rows[-1].cells().items()))
        for name, comparison in compare_copy(database, account).items():
            if not comparison.exact:
                sys.exit(f"The copy of the {name} is not exact: {comparison}")
        vacuum(database)
    return rows


def change(server: AccountServer, account: Account) -> None:
    """Change one record in a hundred, alike in the account that is served and in our own."""
    for name in ("contacts", "deals"):
        ids = account.ids(name)[:: round(1 / CHANGED_SHARE)]
        account.change(name, ids)
        server.act("change", name, ids)


def vacuum(database: Database) -> None:
    """Do what Postgres does a minute after a large write, so that no sync is charged with it."""
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("vacuum analyze")
        connection.invalidate()  # what a session did is counted when it ends


def calls_needed(account: Account) -> int:
    """Count the pages of 100 that hold everything; metadata has at least a page each."""
    listings = sum(max(1, ceil(len(account.metadata.listings[name]) / 100)) for name in LISTINGS)
    return ceil(account.options.contacts / 100) + ceil(account.options.deals / 100) + listings


def print_questions(database: Database) -> None:
    """Time the questions of the cookbook, and name those that are slow."""
    times = {one.name: fastest_ms(database, one.sql) for one in read_cookbook()}
    slow = sorted(times, key=lambda name: -times[name])[:5]
    slowest = ", ".join(f"{name} {times[name]:.0f} ms" for name in slow)
    say(f"{len(times)} questions of the cookbook; the slowest: {slowest}")
    if times[slow[0]] > SLOWEST_MS:
        say(f"{slow[0]} takes more than {SLOWEST_MS:g} ms")


def save(title: str, rows: Sequence[Row]) -> None:
    """Write the table and the chart where git ignores them."""
    table = markdown_table([row.cells() for row in rows])
    bars = {row.title: row.of_floor for row in rows}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "full_sync.md").write_text(f"{title}\n\n{table}")
    (FOLDER / "full_sync.svg").write_text(bar_chart(f"Wall time ÷ floor: {title}", bars))
    say(f"\n{title}\n\n{table}\nWritten to {FOLDER}/full_sync.md and full_sync.svg")


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
