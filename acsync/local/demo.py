"""Show acsync at work without any setup: copy a simulated account and query it."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing

import typer
from rich.console import Console
from rich.syntax import Syntax

import migrations
from acsync.datasets import DATASETS, DatasetName
from acsync.errors import SyncFailed
from acsync.local.embedded_postgres import psql_command, with_database_url
from acsync.local.environment import embedded_in, simulated_environment
from acsync.local.processes import ACSYNC, make_folder
from acsync.settings import Settings, read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.expected import compare
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database, run
from acsync.store.snapshot import read_published

LATENCY_SECONDS = 0.1
SHOWN: dict[DatasetName, int] = {"contacts": 2, "deals": 1}

QUERIES = """\
select * from ac_contacts_wide limit 5;
select pipeline, status, count(*), sum(value) from ac_deals group by 1, 2 order by 1, 2;
select data_type, change, count(*) from ac_changes group by 1, 2;
select * from ac_latest_sync;
"""


def run_demo(console: Console, contacts: int, deals: int, rate: float) -> None:
    """Simulate, copy, compare, show; raises SyncFailed if the copy differs from the account."""
    settings = with_database_url(embedded_in(read_database_settings().data_dir / "demo"))
    account = Account(
        AccountOptions(
            contacts=contacts, deals=deals, rate_limit=rate, latency_seconds=LATENCY_SECONDS
        )
    )
    with closing(open_database(settings)) as database:
        migrations.upgrade(database)
        with serve(account) as url:
            console.print(f"A simulated account at {url}: {contacts:,} contacts, {deals:,} deals.")
            _sync(url, account.options.api_key, rate, settings)
            _compare(console, database, account)
        _show(console, database, settings)


def _sync(url: str, api_key: str, rate: float, settings: Settings) -> None:
    """Run `acsync sync` on this console, and exit with its status if it fails."""
    environment = simulated_environment(url, api_key, rate, settings.data_dir)
    # Set, because Prefect reads a .env too.
    environment.setdefault("PREFECT_API_URL", "")
    if not environment["PREFECT_API_URL"] and not environment.get("PREFECT_HOME"):
        # Prefect creates its own folder, but no parent folders.
        make_folder(settings.data_dir)
        environment["PREFECT_HOME"] = str(settings.data_dir / "prefect")
    command = [*ACSYNC, "sync", "--accept-shrink"]
    if status := subprocess.run(command, env=environment, check=False).returncode:  # noqa: S603
        raise typer.Exit(status)


def _compare(console: Console, database: Database, account: Account) -> None:
    for name in DATASETS:
        comparison = compare(account, name, read_published(database, name))
        if not comparison.exact:
            raise SyncFailed(f"The copied {name} differ from the account: {comparison}.")
        console.print(
            f"{name}: all {comparison.records:,} records verified against the account, key by key"
        )


def _show(console: Console, database: Database, settings: Settings) -> None:
    for title, record in read_sample(database, SHOWN):
        console.rule(title)
        console.print(Syntax(record, "json", word_wrap=True, background_color="default"))
    console.rule("query it")
    console.print("The database stays. Open it with")
    console.print(psql_command(settings.data_dir), soft_wrap=True)
    console.print("and paste")
    console.print(QUERIES, soft_wrap=True)


def read_sample(database: Database, sizes: Mapping[DatasetName, int]) -> Iterator[tuple[str, str]]:
    """Yield each dataset's longest records among the first 1,000, as a title and JSON.

    `sizes` are the records per dataset. Links are left out: they are half of a record.
    """
    sql = """
        select record_count, jsonb_pretty(record - 'links')
        from (select * from {versions} where valid_to is null order by record_id limit 1000)
            as version,
            (select record_count from {schema}.ac_published
             where data_type = :data_type order by sync_no desc limit 1) as published
        order by length(custom_fields::text) desc, record_id
        limit :size
    """
    with database.begin() as connection:
        for name, size in sizes.items():
            for count, record in run(connection, sql, name, size=size):
                yield f"one of {count:,} {name}, without its links", record
