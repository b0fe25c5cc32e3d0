"""Run the main job on an invented account, so that a newcomer sees it work before any set-up."""

import os

from rich.console import Console
from rich.syntax import Syntax

import migrations
from acsync.cli.simulated import point_at_simulated
from acsync.cli.sync import run_sync
from acsync.cli.verify import compare
from acsync.errors import SyncFailed
from acsync.models import DatasetName
from acsync.settings import DatabaseSettings, read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database
from acsync.store.embedded import psql_command
from acsync.store.snapshot import read_sample

LATENCY_SECONDS = 0.1
SHOWN: dict[DatasetName, int] = {"contacts": 2, "deals": 1}

QUERIES = """\
select contact_id, email, first_name, custom_fields from ac_contacts limit 5;
select pipeline, status, count(*), sum(value) from ac_deals group by 1, 2 order by 1, 2;
select data_type, change, count(*) from ac_changes group by 1, 2;
select * from ac_latest_sync;
"""


def run_demo(console: Console, contacts: int, deals: int, rate: float) -> None:
    """Simulate, copy, verify, show; raises SyncFailed where the copy is not the account."""
    data_dir = read_database_settings().data_dir / "demo"
    data_dir.mkdir(parents=True, exist_ok=True)
    account = Account(
        AccountOptions(
            contacts=contacts, deals=deals, rate_limit=rate, latency_seconds=LATENCY_SECONDS
        )
    )
    with serve(account) as url:
        point_at_simulated(url, account.options.api_key, rate, data_dir)
        if "PREFECT_API_URL" not in os.environ:
            os.environ.setdefault("PREFECT_HOME", str(data_dir / "prefect"))
        settings = read_database_settings()
        print_plain(
            console, f"A simulated account at {url}: {contacts:,} contacts, {deals:,} deals."
        )
        database = open_database(settings)
        migrations.upgrade(database)
        run_sync(console, settings, accept_shrink=True)
        _verify(console, database, account)
    _show(console, database, settings)
    database.close()


def _verify(console: Console, database: Database, account: Account) -> None:
    for name, comparison in compare(database, account).items():
        if not comparison.exact:
            raise SyncFailed(f"The copied {name} differ from the account: {comparison}.")
        console.print(
            f"{name}: all {comparison.records:,} records verified against the account, key by key",
            highlight=False,
        )


def _show(console: Console, database: Database, settings: DatabaseSettings) -> None:
    for title, record in read_sample(database, SHOWN):
        console.rule(title)
        console.print(Syntax(record, "json", word_wrap=True, background_color="default"))
    console.rule("query it")
    console.print("The database stays. Open it with", highlight=False)
    print_plain(console, psql_command(settings.data_dir))
    console.print("and paste", highlight=False)
    print_plain(console, QUERIES)


def print_plain(console: Console, text: str) -> None:
    """Print what people paste: no wrapping, no colours, no markup."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
