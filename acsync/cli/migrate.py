"""Bring the schema up to date, or print the SQL for it."""

import sys
from contextlib import closing
from datetime import timedelta
from typing import Annotated

import typer

from acsync import logs
from acsync.cli.options import (
    AccountName,
    console,
    database_of,
    read_option,
    settings_of,
    warn_of_unknown_variables,
)
from acsync.errors import SchemaTooNew, StoreError
from acsync.setting_types import format_kept, parse_kept
from acsync.settings import DATABASE, PRIVACY, Settings


def migrate(
    sql: Annotated[
        bool,
        typer.Option("--sql", help="Print the SQL that the schema lacks instead of running it."),
    ] = False,
    adopt_account: Annotated[
        bool,
        typer.Option(
            "--adopt-account",
            help="Let the schema take another account, after a rename.",
        ),
    ] = False,
    keep: Annotated[
        str | None,
        typer.Option(metavar="VALUE", help="Keep only this much history: 7d, or 20 full syncs."),
    ] = None,
    apply_privacy: Annotated[
        bool,
        typer.Option(
            "--apply-privacy",
            help="Rewrite the copy and its history to follow the privacy settings.",
        ),
    ] = False,
    accept_fields: Annotated[
        str | None,
        typer.Option(metavar="FIELDS", help="Let syncs copy these held custom fields."),
    ] = None,
    account: AccountName = None,
) -> None:
    """Bring the schema up to date."""
    warn_of_unknown_variables()
    kept = read_option("--keep", parse_kept, keep)
    if sql:
        _print_sql(settings_of(account, DATABASE))
    else:
        from acsync.cli.privacy import run_privacy

        privacy = PRIVACY if apply_privacy else ()
        settings = database_of(account, (*DATABASE, "ACSYNC_INTERVAL", *privacy))
        _upgrade(settings, adopt_account, kept)
        run_privacy(console, settings, apply_privacy, accept_fields)


def _upgrade(settings: Settings, adopt_account: bool, keep: int | timedelta | None) -> None:
    """Bring the schema to the newest revision.

    If asked to, let it take another account, and let it keep only this much history.
    """
    import migrations
    from acsync.store.database import open_database
    from acsync.store.interval import confirm_interval
    from acsync.store.retention import confirm_keep
    from acsync.store.schema_owner import forget_account

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
        text = f"The next sync keeps {_describe_kept(keep)}."
        console.print(f"{text} Set ACSYNC_KEEP_SYNCS={format_kept(keep)} too.", soft_wrap=True)


def _describe_kept(keep: int | timedelta) -> str:
    if isinstance(keep, timedelta):
        return f"{format_kept(keep)} of history"
    return "the last full sync" if keep == 1 else f"the last {keep:,} full syncs"


def _print_sql(settings: Settings) -> None:
    """Print the SQL that the schema lacks, and on standard error what it is for."""
    import migrations
    from acsync.local.embedded_postgres import with_database_url
    from acsync.store.database import open_database

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
