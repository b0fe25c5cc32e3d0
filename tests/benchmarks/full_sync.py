"""Sync a full-size simulated account three times, and print the cost of each sync.

Run it with `make bench`; with SMALL=1 it takes two minutes. The account, the sync, the Prefect
server and Postgres are separate processes on this machine.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

import migrations
from acsync.datasets import LISTINGS
from acsync.local.embedded_postgres import with_database_url
from acsync.settings import read_database_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database, open_database
from acsync.web.queries import read_cookbook
from tests.benchmarks.account_server import AccountServer, account_server
from tests.benchmarks.environment import own_environment
from tests.benchmarks.measure import SyncCost, fastest_ms, measure_sync
from tests.benchmarks.report import FOLDER, markdown_table
from tests.support.expected import NOTHING_HIDDEN, Privacy
from tests.support.prefect_server import prefect_server
from tests.support.syncs import compare_copy

CHANGED_SHARE = 0.01
MAX_QUERY_MS = 200.0
EXCLUDED = (
    "contacts.phone",
    "contacts.lastName",
    "contacts.ip",
    "contacts.ua",
    "deals.description",
)
HASHED = ("contacts.email", "deals.title")
HASH_KEY = "a key for measurements only"


@dataclass(frozen=True)
class Row:
    """One sync: its name, its cost, the calls it needed, and the calls allowed per second."""

    title: str
    cost: SyncCost
    needed: int
    limit: float

    @property
    def of_floor(self) -> float:
        """Return the ratio of wall time to the time that the needed calls take at the limit."""
        return self.cost.wall_seconds * self.limit / self.needed

    def cells(self) -> dict[str, str]:
        """Return the cells of the table by their title."""
        cost, floor = self.cost, self.needed / self.limit
        return {
            "sync": self.title,
            "wall s": f"{cost.wall_seconds:.1f}",
            "wall ÷ floor": f"{self.of_floor:.3f}",
            "first to last call ÷ floor": f"{cost.calling_seconds / floor:.3f}",
            "before, after s": f"{cost.before_seconds:.1f}, {cost.after_seconds:.1f}",
            "calls ÷ needed": f"{cost.calls / self.needed:.4f}",
            "refused": f"{cost.refused} ({cost.refused / cost.calls:.2%})",
            "peak MB": f"{cost.peak_mb:.0f}",
            "CPU s per 1,000 records": f"{cost.cpu_seconds * 1000 / cost.records:.3f}",
            "Postgres s": f"{cost.postgres_seconds:.1f}",
            "WAL MB": f"{cost.wal_mb:.1f}",
            "tables MB": f"{cost.tables_mb:.0f}",
        }


def main() -> None:
    """Measure; fail if a copy is not exact."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contacts", type=int, default=82_000)
    parser.add_argument("--deals", type=int, default=75_000)
    parser.add_argument("--rate", type=float, default=10.0, help="AC_RATE_LIMIT")
    parser.add_argument(
        "--limit", type=float, default=10.0, help="calls per second that the account allows; 0: any"
    )
    parser.add_argument("--windows", nargs="+", default=["sliding"], choices=["sliding", "fixed"])
    parser.add_argument(
        "--retry-after", type=int, default=1, help="seconds that a refusal asks for"
    )
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument(
        "--jitter", type=float, default=0.0, help="longest delay of a call in seconds"
    )
    parser.add_argument(
        "--rules", action="store_true", help="leave ten fields out of the copy, and hash two"
    )
    arguments = parser.parse_args()
    rows = []
    for window in arguments.windows:
        options = AccountOptions(
            contacts=arguments.contacts,
            deals=arguments.deals,
            rate_limit=arguments.limit or None,
            rate_window=window,
            retry_after_seconds=arguments.retry_after,
            latency_seconds=arguments.latency,
            arrival_jitter_seconds=arguments.jitter,
        )
        account, limit = Account(options), arguments.limit or arguments.rate
        with served(options, arguments.rate) as (server, database):
            privacy = set_rules(account) if arguments.rules else NOTHING_HIDDEN
            rows += three_syncs(server, database, account, limit, privacy)
            if arguments.contacts == parser.get_default("contacts"):
                print_queries(database)
    rules = ", with privacy rules" if arguments.rules else ""
    title = (
        f"{arguments.contacts:,} contacts, {arguments.deals:,} deals, "
        f"{arguments.latency * 1000:g} ms per call{rules}"
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
        database = open_database(with_database_url(read_database_settings()))
        migrations.upgrade(database)
        yield server, database
        database.close()


def set_rules(account: Account) -> Privacy:
    """Set privacy rules for five standard and five custom fields, and for two to hash."""
    custom = [
        f"{name}.customFields.{field['id']}"
        for name, fields in (
            ("contacts", account.metadata.listings["contact_fields"][:3]),
            ("deals", account.metadata.listings["deal_fields"][:2]),
        )
        for field in fields
    ]
    excluded = (*EXCLUDED, *custom)
    os.environ["ACSYNC_EXCLUDE"] = ",".join(excluded)
    os.environ["ACSYNC_HASH"] = ",".join(HASHED)
    os.environ["ACSYNC_HASH_KEY"] = HASH_KEY
    return Privacy(frozenset(excluded), frozenset(HASHED), HASH_KEY)


def three_syncs(
    server: AccountServer,
    database: Database,
    account: Account,
    limit: float,
    privacy: Privacy = NOTHING_HIDDEN,
) -> list[Row]:
    """Sync an account that is new, unchanged, and changed by 1 %; compare each time."""
    rows = []
    window = account.options.rate_window
    for title in ("first", "unchanged", "1 % changed"):
        if title == "1 % changed":
            change(server, account)
        cost = measure_sync(database, server)
        rows.append(Row(f"{title}, {window}", cost, calls_needed(account), limit))
        say(" · ".join(f"{name} {text}" for name, text in rows[-1].cells().items()))
        for name, comparison in compare_copy(database, account, privacy).items():
            if not comparison.exact:
                sys.exit(f"The copy of the {name} is not exact: {comparison}")
        vacuum(database)
    return rows


def change(server: AccountServer, account: Account) -> None:
    """Change 1 % of the records, the same in the served account and in `account`."""
    time.sleep(1 - time.time() % 1)  # so that both date the change with the same second
    for name in ("contacts", "deals"):
        ids = account.ids(name)[:: round(1 / CHANGED_SHARE)]
        account.change(name, ids)
        server.act("change", name, ids)


def vacuum(database: Database) -> None:
    """Vacuum now, as Postgres does after a large write, so that no sync is charged for it."""
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("vacuum analyze")
        connection.invalidate()  # Postgres counts the work of a session when it ends


def calls_needed(account: Account) -> int:
    """Count the pages of 100 that hold everything; each listing has at least one page."""
    listings = sum(max(1, ceil(len(account.metadata.listings[name]) / 100)) for name in LISTINGS)
    return ceil(account.options.contacts / 100) + ceil(account.options.deals / 100) + listings


def print_queries(database: Database) -> None:
    """Time the queries of the cookbook, and print the slowest."""
    questions = [question for topic in read_cookbook().values() for question in topic]
    times = {question.name: fastest_ms(database, question.sql) for question in questions}
    slow = sorted(times, key=lambda name: -times[name])[:5]
    slowest = ", ".join(f"{name} {times[name]:.0f} ms" for name in slow)
    say(f"{len(times)} queries of the cookbook; the slowest: {slowest}")
    if times[slow[0]] > MAX_QUERY_MS:
        say(f"{slow[0]} takes more than {MAX_QUERY_MS:g} ms")


def save(title: str, rows: Sequence[Row]) -> None:
    """Write the table to a folder that git ignores, and print it."""
    table = markdown_table([row.cells() for row in rows])
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "full_sync.md").write_text(f"{title}\n\n{table}")
    say(f"\n{title}\n\n{table}\nWritten to {FOLDER}/full_sync.md")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
