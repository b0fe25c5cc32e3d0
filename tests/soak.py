"""Sync forty times in a row against a changing account, and show that nothing grows.

Run it with `make soak`. All syncs run in one process, which is stricter than a worker's.
"""

import sys
from dataclasses import asdict, dataclass

import psutil

import migrations
from acsync.cli.demo import compare
from acsync.settings import read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database, run
from tests.support.churn import Churn
from tests.support.environment import own_environment

SYNCS = 40
WARM_UP = 10
"""Syncs until caches, pools and the kept history are full."""

GROWTH = 1.1
CHANGES_PER_SECOND = 20
CALLS_PER_SECOND = 100

VERSIONS = """
    select (select count(*) from {schema}.ac_contact_versions)
         + (select count(*) from {schema}.ac_deal_versions)
"""
STAGED = """
    select (select count(*) from {schema}.ac_staged_slices)
         + (select count(*) from {schema}.ac_staged_records)
"""


@dataclass(frozen=True)
class Usage:
    """What one sync leaves behind in this process and in Postgres."""

    memory_mb: int
    open_files: int
    threads: int
    connections: int
    staging_rows: int
    tables: int
    versions: int


def main() -> None:
    """Sync, change, and measure; fail where something grows or the copy is not exact."""
    account = Account(AccountOptions(contacts=2_000, deals=2_000, rate_limit=None))
    with serve(account) as url, own_environment(url, account.options.api_key, CALLS_PER_SECOND):
        usages = soak(account)
    require_no_growth(usages)


def soak(account: Account) -> list[Usage]:
    """Sync while records are added, changed and deleted; the last time nobody disturbs."""
    from flows.sync_activecampaign import sync_activecampaign  # noqa: PLC0415  # after the settings

    database = open_database(read_database_settings())
    migrations.upgrade(database)
    usages = []
    for number in range(1, SYNCS + 1):
        churn = Churn(account, CHANGES_PER_SECOND, seed=number)
        with churn:
            state = sync_activecampaign(return_state=True)
        if not state.is_completed():
            sys.exit(f"Sync {number} failed: {state.message}")
        usages.append(measure(database))
        sys.stdout.write(f"{number}: {asdict(usages[-1])} {churn.made}\n")
        sys.stdout.flush()
    sync_activecampaign(return_state=True)
    comparisons = compare(database, account)
    sys.stdout.write(f"against the account: {comparisons}\n")
    database.close()
    if not all(one.exact for one in comparisons.values()):
        sys.exit("The copy is not exact.")
    return usages


def measure(database: Database) -> Usage:
    """Look at this process and at Postgres."""
    process = psutil.Process()
    with database.begin() as connection:

        def count(sql: str) -> int:
            number: int = run(connection, sql).scalar_one()
            return number

        return Usage(
            round(process.memory_info().rss / 1e6),
            process.num_fds(),
            process.num_threads(),
            count("select count(*) from pg_stat_activity where datname = current_database()"),
            count(STAGED),
            count("select count(*) from pg_class where relkind in ('r', 'i', 't')"),
            count(VERSIONS),
        )


def require_no_growth(usages: list[Usage]) -> None:
    """Compare the worst of the last ten syncs with the worst of those after the warm-up."""
    early, late = usages[WARM_UP : 2 * WARM_UP], usages[-WARM_UP:]
    for name in asdict(usages[0]):
        before = max(getattr(usage, name) for usage in early)
        after = max(getattr(usage, name) for usage in late)
        if after > before * GROWTH:
            sys.exit(f"{name} grew from {before} to {after}.")


if __name__ == "__main__":
    main()
