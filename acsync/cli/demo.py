"""Show acsync at work without any setup: copy a simulated account twice and look at the copy."""

import os
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

import migrations
from acsync.cli.sync import run_sync
from acsync.datasets import DATASETS, DatasetName
from acsync.errors import SyncFailed, sanitize
from acsync.local.embedded_postgres import delete_command, psql_command, with_database_url
from acsync.local.environment import embedded_in, simulated_environment
from acsync.local.processes import make_folder
from acsync.local.programs import program
from acsync.schedule import DEFAULT_INTERVAL, spell
from acsync.settings import Settings, read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.expected import compare
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database
from acsync.store.sample import count_stages, read_sample
from acsync.store.snapshot import read_published

LATENCY_SECONDS = 0.1
STAGES = 8

# At most this many records per dataset are added, changed and deleted
# between the syncs.
ADDED, CHANGED, DELETED = 12, 40, 5

ROWS = 5
# Characters of the first column and of the others; longer values are cut.
FIRST_WIDTH, NEXT_WIDTH = 24, 13


def run_demo(console: Console, contacts: int, deals: int, rate: float) -> None:
    """Copy, change the account, copy again, compare; raises SyncFailed if the copy differs."""
    settings = with_database_url(embedded_in(read_database_settings().data_dir / "demo"))
    account = Account(
        AccountOptions(
            contacts=contacts,
            deals=deals,
            stages=STAGES,
            rate_limit=rate,
            latency_seconds=LATENCY_SECONDS,
        )
    )
    with closing(open_database(settings)) as database:
        migrations.upgrade(database)
        with serve(account) as url:
            _use_account(url, account.options.api_key, rate, settings)
            console.print(f"A simulated account has {contacts:,} contacts and {deals:,} deals.")
            _sync(console, settings)
            _show(console, database)
            _change(account)
            console.print("\nSome records were added, changed and deleted. A second sync:")
            _sync(console, settings)
            console.print(f"Verified, key by key: {' and '.join(_compare(database, account))}.")
    _show_next_steps(console, settings.data_dir)


def _use_account(url: str, api_key: str, rate: float, settings: Settings) -> None:
    """Make the simulated account the only one in this process's environment."""
    environment = simulated_environment(url, api_key, rate, settings.data_dir)
    # Set, because Prefect reads a .env too.
    environment.setdefault("PREFECT_API_URL", "")
    if not environment["PREFECT_API_URL"] and not environment.get("PREFECT_HOME"):
        # Prefect creates its own folder, but no parent folders.
        make_folder(settings.data_dir)
        environment["PREFECT_HOME"] = str(settings.data_dir / "prefect")
    os.environ.clear()
    os.environ.update(environment)


def _sync(console: Console, settings: Settings) -> None:
    """Run one sync in this process, so that both use the same temporary Prefect server.

    Of its report, only the first line of each dataset is for newcomers.
    """
    for line in run_sync(console, settings, None, accept_shrink=True, account=None)[
        : len(DATASETS)
    ]:
        console.print(line, soft_wrap=True)


def _change(account: Account) -> None:
    """Add, change and delete records; stubs are left alone."""
    for name in DATASETS:
        masked = {*account.masked_ids()} if name == "deals" else set()
        ids = [record_id for record_id in account.ids(name) if record_id not in masked]
        deleted = account.delete(name, ids[: min(DELETED, len(ids) // 10)])
        account.change(name, ids[len(deleted) :][: min(CHANGED, len(ids) // 5)])
        account.add(name, ADDED)


def _compare(database: Database, account: Account) -> Iterator[str]:
    for name in DATASETS:
        comparison = compare(account, name, read_published(database, name))
        if not comparison.exact:
            raise SyncFailed(f"The copied {name} differ from the account: {comparison}.")
        yield f"all {comparison.records:,} {name}"


def _show(console: Console, database: Database) -> None:
    for name in DATASETS:
        console.print()
        console.print(_table(database, name, fields=2 if console.width < 110 else 4))
    console.print()
    console.print(_bars(database))


def _table(database: Database, name: DatasetName, fields: int) -> Table:
    """Return some records, each on one line."""
    headers, rows = read_sample(database, name, fields, ROWS)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, header in enumerate(headers):
        width = NEXT_WIDTH if place else FIRST_WIDTH
        table.add_column(sanitize(header), no_wrap=True, max_width=width)
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    return sanitize(", ".join(map(str, value)) if isinstance(value, list) else str(value or ""))


def _bars(database: Database) -> Table:
    """Return the number of deals in each stage as bars."""
    counts = count_stages(database)
    most = max((count.deals for count in counts), default=1)
    table = Table.grid(padding=(0, 2))
    for pipeline, stages in groupby(counts, key=lambda count: count.pipeline):
        for place, count in enumerate(stages):
            bar = Bar(most, 0, count.deals, width=32, color="cyan")
            name = "" if place else sanitize(pipeline)
            table.add_row(name, sanitize(count.stage), bar, f"{count.deals:,}")
    return table


def _show_next_steps(console: Console, data_dir: Path) -> None:
    acsync, variable = program("acsync"), f"ACSYNC_DATA_DIR={data_dir}"
    console.print()
    for title, *commands in (
        (
            f"a sync every {spell(DEFAULT_INTERVAL)}, with a dashboard, until Ctrl-C",
            f"{acsync} up",
        ),
        (
            "look at the copy, for example: select * from ac_contacts_wide limit 5;",
            f"{variable} {acsync} status",
            psql_command(data_dir),
        ),
        ("stop the embedded Postgres and delete the copy", delete_command(data_dir)),
    ):
        console.print(f"# {title}", *commands, sep="\n", soft_wrap=True)
