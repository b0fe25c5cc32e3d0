"""Show acsync at work without any setup: copy a simulated account twice and look at the copy."""

import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.bar import Bar
from rich.columns import Columns
from rich.table import Table

from acsync.cli.options import Contacts, Deals, Rate, console, settings_of
from acsync.cli.sync import run_sync
from acsync.datasets import DATASETS, DatasetName
from acsync.errors import SyncFailed, sanitize
from acsync.settings import DATABASE, Settings

if TYPE_CHECKING:
    from acsync.simulator.account import Account
    from acsync.store.database import Database
    from acsync.store.sample import StageCount

LATENCY_SECONDS = 0.1
STAGES = 8

# At most this many records per dataset are added, changed and deleted
# between the syncs.
ADDED, CHANGED, DELETED = 12, 40, 5

ROWS = 5
# Characters of the first column and of the others; longer values are cut.
FIRST_WIDTH, NEXT_WIDTH = 24, 13
BAR_WIDTH = 16


def demo(contacts: Contacts = 2_500, deals: Deals = 1_200, rate: Rate = 10.0) -> None:
    """Copy a simulated account, show the copy and how to query it."""
    import migrations
    from acsync.local.embedded_postgres import with_database_url
    from acsync.local.environment import embedded_in
    from acsync.simulator.account import Account
    from acsync.simulator.account_options import AccountOptions
    from acsync.simulator.server import serve
    from acsync.store.database import open_database

    data_dir = settings_of(None, DATABASE).data_dir / "demo"
    console.print(f"A simulated account has {contacts:,} contacts and {deals:,} deals.")
    settings = with_database_url(embedded_in(data_dir))
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
            _show(database, _sync(settings))
            _change(account)
            console.print("\nSome records were added, changed and deleted. A second sync:")
            console.print(*_sync(settings), sep="\n", soft_wrap=True)
            console.print(f"Verified, key by key: {' and '.join(_compare(database, account))}.")
    _show_next_steps(settings.data_dir)


def _use_account(url: str, api_key: str, rate: float, settings: Settings) -> None:
    """Make the simulated account the only one in this process's environment."""
    from acsync.local.environment import simulated_environment
    from acsync.local.processes import make_folder

    environment = simulated_environment(url, api_key, rate, settings.data_dir)
    # Set, because Prefect reads a .env too.
    environment.setdefault("PREFECT_API_URL", "")
    if not environment["PREFECT_API_URL"] and not environment.get("PREFECT_HOME"):
        # Prefect creates its own folder, but no parent folders.
        make_folder(settings.data_dir)
        environment["PREFECT_HOME"] = str(settings.data_dir / "prefect")
    os.environ.clear()
    os.environ.update(environment)


def _sync(settings: Settings) -> list[str]:
    """Run one sync in this process, so that both use the same temporary Prefect server.

    Of its report, only the first line of each dataset is for newcomers.
    """
    lines = run_sync(console, settings, None, accept_shrink=True, account=None)
    return lines[: len(DATASETS)]


def _change(account: "Account") -> None:
    """Add, change and delete records; stubs are left alone."""
    for name in DATASETS:
        masked = {*account.masked_ids()} if name == "deals" else set()
        ids = [record_id for record_id in account.ids(name) if record_id not in masked]
        deleted = account.delete(name, ids[: min(DELETED, len(ids) // 10)])
        account.change(name, ids[len(deleted) :][: min(CHANGED, len(ids) // 5)])
        account.add(name, ADDED)


def _compare(database: "Database", account: "Account") -> Iterator[str]:
    from acsync.simulator.expected import compare
    from acsync.store.snapshot import read_published

    for name in DATASETS:
        comparison = compare(account, name, read_published(database, name))
        if not comparison.exact:
            raise SyncFailed(f"The copied {name} differ from the account: {comparison}.")
        yield f"all {comparison.records:,} {name}"


def _show(database: "Database", report: Sequence[str]) -> None:
    """Show each dataset's line of the report with some records, then the pipelines."""
    for name, line in zip(DATASETS, report, strict=True):
        console.print(f"\n{line}", soft_wrap=True)
        console.print(_table(database, name, fields=2 if console.width < 110 else 4))
    console.print(_pipelines(database))


def _table(database: "Database", name: DatasetName, fields: int) -> Table:
    """Return some records, each on one line."""
    from acsync.store.sample import read_sample

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


def _pipelines(database: "Database") -> Columns:
    """Return the number of deals in each stage as bars, with the pipelines side by side."""
    from acsync.store.sample import count_stages

    counts = count_stages(database)
    most = max((count.deals for count in counts), default=1)
    by_pipeline = groupby(counts, key=lambda count: count.pipeline)
    return Columns((_bars(name, stages, most) for name, stages in by_pipeline), padding=(0, 4))


def _bars(pipeline: str, stages: "Iterable[StageCount]", most: int) -> Table:
    table = Table(sanitize(pipeline), box=None, pad_edge=False, header_style="bold")
    for stage in stages:
        bar = Bar(most, 0, stage.deals, width=BAR_WIDTH, color="cyan")
        table.add_row(sanitize(stage.stage), bar, f"{stage.deals:,}")
    return table


def _show_next_steps(data_dir: Path) -> None:
    from acsync.local.embedded_postgres import delete_command, psql_command
    from acsync.local.processes import program

    acsync, folder = program("acsync"), shlex.quote(str(data_dir))
    for line in (
        f"\nNext:   {acsync} up",
        f"Status: ACSYNC_DATA_DIR={folder} {acsync} status",
        f"Query:  {psql_command(data_dir)}",
        f"Delete: {delete_command(data_dir)}",
    ):
        console.print(line, soft_wrap=True)
