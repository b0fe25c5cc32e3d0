"""Bring the schema up to date, or print the SQL for it."""

import sys
from contextlib import closing

from rich.console import Console

import migrations
from acsync import logs
from acsync.errors import SchemaTooNew, StoreError
from acsync.local.embedded_postgres import with_database_url
from acsync.setting_types import format_kept
from acsync.settings import Settings
from acsync.store.database import open_database
from acsync.store.interval import confirm_interval
from acsync.store.retention import Keep, confirm_keep
from acsync.store.schema_owner import forget_account


def run_migrate(
    console: Console, settings: Settings, adopt_account: bool, keep: Keep | None
) -> None:
    """Bring the schema to the newest revision.

    If asked to, let it take another account, and let it keep only this much history.
    """
    with closing(open_database(settings)) as database:
        before, after = migrations.upgrade(database)
        forgotten = forget_account(database) if adopt_account else None
        confirm_interval(database, settings.interval)
        if keep:
            confirm_keep(database, keep)
    change = "is up to date at" if before == after else f"went from {before or 'nothing'} to"
    console.print(f"Schema {settings.schema_name} {change} revision {after}.")
    if adopt_account:
        owner = f"It belonged to {forgotten}." if forgotten else "It belonged to no account."
        console.print(f"{owner} The next sync claims it for its account.", soft_wrap=True)
    if keep:
        kept = format_kept(keep)
        text = f"The next sync keeps {kept} of history. Set ACSYNC_KEEP_SYNCS={kept} too."
        console.print(text, soft_wrap=True)


def print_migration(settings: Settings) -> None:
    """Print the SQL that the schema lacks, and on standard error what it is for."""
    schema = settings.schema_name
    settings = with_database_url(settings, start=False)
    try:
        with closing(open_database(settings)) as database:
            sql = migrations.sql(schema, database)
    except SchemaTooNew:
        raise
    except StoreError as error:
        logs.report(f"{error.message} So this SQL creates everything in an empty schema.")
        sql = migrations.sql(schema)
    if not sql:
        logs.report(f"Schema {schema} is up to date at revision {migrations.HEAD}.")
    sys.stdout.write(sql)
