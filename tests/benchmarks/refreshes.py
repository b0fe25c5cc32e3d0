"""Measure what a sync writes when a name or a counter changes, but no content does.

Run it with `python -m tests.benchmarks.refreshes`; it takes a few minutes. The account has no rate
limit. It fails if a copy is not exact.
"""

import argparse
import os
from collections.abc import Callable

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database, run
from tests.benchmarks.account_server import AccountServer
from tests.benchmarks.full_sync import change, say, served, vacuum
from tests.benchmarks.growth import CALLS_PER_SECOND
from tests.benchmarks.measure import measure_sync
from tests.benchmarks.report import FOLDER, markdown_table
from tests.support.syncs import assert_exact

DELETED_PIPELINE = "3"


def do_nothing(account: Account) -> None:
    """Leave the account as it is."""


def rename_list(account: Account) -> None:
    """Rename a list that most contacts are on."""
    account.metadata.listings["lists"][0]["name"] = "Another name"


def rename_field(account: Account) -> None:
    """Change title and key of a contact field."""
    account.metadata.listings["contact_fields"][0] |= {"title": "New name", "perstag": "NEW_NAME"}


def delete_pipeline(account: Account) -> None:
    """Delete a pipeline, and leave its deals in it."""
    account.metadata.delete("pipelines", DELETED_PIPELINE)


def send_newsletter(account: Account) -> None:
    """Count an email to every contact."""
    account.send_newsletter(account.ids("contacts"))


def move_links(account: Account) -> None:
    """Use another host in the links of all records."""
    account.link_host = "another.example"


EVENTS: dict[str, Callable[[Account], None]] = {
    "nothing changed": do_nothing,
    "a list renamed": rename_list,
    "a contact field renamed": rename_field,
    "a pipeline deleted": delete_pipeline,
    "a newsletter to every contact": send_newsletter,
    "another host in all links": move_links,
}


def main() -> None:
    """Sync after each event, and write a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contacts", type=int, default=16_000)
    parser.add_argument("--deals", type=int, default=15_000)
    arguments = parser.parse_args()
    options = AccountOptions(
        contacts=arguments.contacts, deals=arguments.deals, contact_fields=100, deal_fields=40,
        values_per_record=20, tags=30, lists=6, rate_limit=None,
    )  # fmt: skip
    account = Account(options)
    rows = {}
    with served(options, CALLS_PER_SECOND) as (server, database):
        os.environ["ACSYNC_MAX_DURATION"] = "2h"
        measure(server, database, account)
        for name, event in EVENTS.items():
            event(account)
            server.edit(event)
            rows[name] = measure(server, database, account)
            say(f"{name}: {rows[name]}")
        named = count_deals(database)
        change(server, account)
        rows["1 % changed"] = measure(server, database, account)
    figures = rows["1 % changed"]
    table = markdown_table(
        [{"": figure} | {name: row[figure] for name, row in rows.items()} for figure in figures]
    )
    FOLDER.mkdir(exist_ok=True)
    records = f"{options.contacts:,} contacts, {options.deals:,} deals"
    text = f"{records}; {named:,} deals name the deleted pipeline\n\n{table}"
    (FOLDER / "refreshes.md").write_text(text)
    say(f"\n{text}\nWritten to {FOLDER}/refreshes.md")


def measure(server: AccountServer, database: Database, account: Account) -> dict[str, str]:
    """Sync, compare the copy with the account, and return the figures."""
    cost = measure_sync(database, server)
    assert_exact(database, account)
    counts = """
        select contacts_refreshed + deals_refreshed, contacts_updated + deals_updated
        from {schema}.ac_sync_logs order by id desc limit 1
    """
    with database.begin() as connection:
        refreshed, updated = run(connection, counts).one()
    vacuum(database)
    return {
        "refreshed": f"{refreshed:,}",
        "updated": f"{updated:,}",
        "WAL MB": f"{cost.wal_mb:,.1f}",
        "growth before vacuum, MB": f"{cost.growth_mb:,.1f}",
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def count_deals(database: Database) -> int:
    """Count the deals that the copy still shows under the name of the deleted pipeline."""
    sql = "select count(*) from {schema}.ac_deals where pipeline = :pipeline"
    with database.begin() as connection:
        return int(run(connection, sql, pipeline=f"Pipeline {DELETED_PIPELINE}").scalar_one())


if __name__ == "__main__":
    main()
