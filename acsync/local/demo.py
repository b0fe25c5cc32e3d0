"""Show acsync at work without any setup: copy a simulated account and query it."""

import json
import subprocess
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal

import orjson
import typer
from rich.console import Console
from rich.syntax import Syntax

import migrations
from acsync.datasets import DATASETS, DatasetName, Record
from acsync.errors import SyncFailed
from acsync.local.embedded_postgres import psql_command, with_database_url
from acsync.local.environment import embedded_in, simulated_environment
from acsync.local.processes import ACSYNC, make_folder
from acsync.settings import Settings, read_database_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database, open_database
from acsync.store.snapshot import published_ids, published_records, read_sample

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
    if not environment.get("PREFECT_API_URL") and not environment.get("PREFECT_HOME"):
        # Prefect creates its own folder, but no parent folders.
        make_folder(settings.data_dir)
        environment["PREFECT_HOME"] = str(settings.data_dir / "prefect")
    command = [*ACSYNC, "sync", "--accept-shrink"]
    if status := subprocess.run(command, env=environment, check=False).returncode:  # noqa: S603
        raise typer.Exit(status)


def _compare(console: Console, database: Database, account: Account) -> None:
    for name, comparison in compare(database, account).items():
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


BATCH = 1_000


@dataclass(frozen=True)
class Comparison:
    """How one dataset compares with the account; `differing` names up to ten ids."""

    records: int
    missing: int
    invented: int
    differing: tuple[int, ...]

    @property
    def exact(self) -> bool:
        """Return whether the copy equals the account."""
        return not (self.missing or self.invented or self.differing)


def compare(database: Database, account: Account) -> dict[DatasetName, Comparison]:
    """Compare both datasets with what the simulator expects, which it makes without enrich."""
    return {name: _compare_dataset(database, account, name) for name in DATASETS}


def _compare_dataset(database: Database, account: Account, name: DatasetName) -> Comparison:
    expected, published = account.ids(name), published_ids(database, name)
    differing: list[int] = []
    for start in range(0, len(published), BATCH):
        ids = published[start : start + BATCH]
        records = published_records(database, name, ids)
        differing += [
            number for number in ids if records[number] != _plain(account.expected(name, number))
        ]
    return Comparison(
        len(published),
        len(set(expected) - set(published)),
        len(set(published) - set(expected)) + len(published) - len(set(published)),
        tuple(differing[:10]),
    )


def _plain(record: Record) -> Record:
    """Turn the simulator's ready-made JSON fragments into values."""
    plain: Record = json.loads(orjson.dumps(record), parse_float=Decimal)
    return plain
