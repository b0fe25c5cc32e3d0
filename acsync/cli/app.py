"""The commands, their options, and their exit status."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from acsync.cli.check import run_check
from acsync.cli.durations import parse_duration
from acsync.cli.prefect_logging import quiet_prefect
from acsync.cli.status import show_status
from acsync.errors import AcsyncError, LeaseHeld, SettingsError
from acsync.models import DatasetName
from acsync.settings import Settings, read_alert_url, read_database_settings, read_settings
from acsync.store.database import open_database, require_current_schema
from acsync.store.status import read_last_success, read_status

FAILED, USAGE, ALREADY_RUNNING = 1, 2, 3

app = typer.Typer(
    name="acsync",
    help="Every contact and deal of an ActiveCampaign account, in Postgres, whole or not at all.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
Account = Annotated[
    str | None,
    typer.Option(help="Take the credentials of this Prefect block, not of the environment."),
]
console = Console(markup=False, emoji=False, highlight=False)
"""Where results go; errors go to standard error. What others wrote is never read as markup."""


@app.command()
def demo(
    contacts: Annotated[int, typer.Option(min=0, help="Contacts in the account.")] = 2_500,
    deals: Annotated[int, typer.Option(min=0, help="Deals in the account.")] = 1_200,
    rate: Annotated[float, typer.Option(min=0.1, help="Calls a second it allows.")] = 10.0,
) -> None:
    """Copy a simulated account into an embedded Postgres, and show how to query it."""
    from acsync.cli.demo import run_demo  # noqa: PLC0415  # Prefect takes seconds to import

    run_demo(console, contacts, deals, rate)


@app.command()
def check(account: Account = None) -> None:
    """Try everything a sync needs, and say what to do about each problem; changes nothing."""
    run_check(console, settings_of(account), account)


@app.command()
def sync(
    only: Annotated[DatasetName | None, typer.Option(help="One dataset alone.")] = None,
    accept_shrink: Annotated[
        bool, typer.Option("--accept-shrink", help="Publish even if many records are gone.")
    ] = False,
    account: Account = None,
) -> None:
    """Make one sync now."""
    settings = settings_of(account)
    from acsync.cli.sync import run_sync  # noqa: PLC0415  # Prefect takes seconds to import

    run_sync(console, settings.database, only, accept_shrink, account)


@app.command()
def migrate(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the SQL instead of running it.")
    ] = False,
    account: Account = None,
) -> None:
    """Bring the schema up to date."""
    import migrations  # noqa: PLC0415  # Alembic is only needed here

    settings = read_database_settings(environment_of(account))
    if sql:
        sys.stdout.write(migrations.sql(settings.schema))
        return
    database = open_database(settings)
    before, after = migrations.upgrade(database)
    database.close()
    done = "is up to date at" if before == after else f"went from {before or 'nothing'} to"
    console.print(f"Schema {settings.schema} {done} revision {after}.", highlight=False)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="The status endpoint's payload.")] = False,
    max_age: Annotated[
        str | None, typer.Option(help="Fail when the last success is older: 30m, 2h, 900s.")
    ] = None,
    account: Account = None,
) -> None:
    """Show the last syncs and what is published."""
    limit = parse_duration(max_age) if max_age else None
    database = open_database(read_database_settings(environment_of(account)))
    require_current_schema(database)
    payload = read_status(database)
    last_success = read_last_success(database)
    database.close()
    if as_json:
        sys.stdout.write(json.dumps(payload, indent=2) + "\n")
    else:
        show_status(console, payload)
    if limit is None:
        return
    if last_success is None or datetime.now(UTC) - last_success > limit:
        since = f"on {last_success:%Y-%m-%d at %H:%M:%S %Z}" if last_success else "never"
        raise AcsyncError(
            f"The last complete sync ended {since}, longer than {max_age} ago. See the reasons "
            "with: acsync status"
        )


@app.command()
def deploy(account: Account = None) -> None:
    """Set up work pool, deployment, alerts and automations on the Prefect API in use."""
    alert_url = read_alert_url()
    quiet_prefect()
    from acsync.cli.deploy import run_deploy  # noqa: PLC0415  # Prefect takes seconds to import

    run_deploy(console, account, alert_url)


@app.command()
def up(
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="Port of the Prefect server.")
    ] = 4200,
    contacts: Annotated[int, typer.Option(min=0, help="Contacts to simulate.")] = 2_500,
    deals: Annotated[int, typer.Option(min=0, help="Deals to simulate.")] = 1_200,
    rate: Annotated[float, typer.Option(min=0.1, help="Calls a second it allows.")] = 10.0,
) -> None:
    """Run everything on this machine until Ctrl-C; without credentials, on a simulated account."""
    from acsync.cli.up import run_up  # noqa: PLC0415  # only this command runs others
    from acsync.simulator.account import AccountOptions  # noqa: PLC0415

    run_up(console, port, AccountOptions(contacts=contacts, deals=deals, rate_limit=rate))


@app.command()
def simulate(  # noqa: PLR0913, PLR0917  # an option each
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 8765,
    contacts: Annotated[int, typer.Option(min=0)] = 2_500,
    deals: Annotated[int, typer.Option(min=0)] = 1_200,
    rate: Annotated[float, typer.Option(min=0.1, help="Calls a second it allows.")] = 10.0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds a call takes.")] = 0.1,
    seed: int = 1,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="Break it on purpose: bad-network, shared-budget, key-revoked, page-always-fails, "
            "orders-ignored. May be given several times."
        ),
    ] = None,
) -> None:
    """Serve the simulated account alone, until Ctrl-C."""
    from acsync.cli.simulate import run_simulator  # noqa: PLC0415  # only this command serves
    from acsync.simulator.account import AccountOptions  # noqa: PLC0415

    options = AccountOptions(
        contacts=contacts, deals=deals, rate_limit=rate, latency_seconds=latency, seed=seed
    )
    run_simulator(console, port, options, fault or [])


def environment_of(account: str | None) -> Mapping[str, str]:
    """Give the variables to read settings from; raises SettingsError without such a block."""
    if account is None:
        return os.environ
    quiet_prefect()
    from flows.blocks import account_environment  # noqa: PLC0415  # Prefect takes seconds

    return account_environment(account)


def settings_of(account: str | None) -> Settings:
    """Read all settings; raises SettingsError naming variables, or the fields of the block."""
    if account is None:
        return read_settings()
    quiet_prefect()
    from flows.blocks import read_account_settings  # noqa: PLC0415  # Prefect takes seconds

    return read_account_settings(account)


def main() -> None:
    """Run a command; every foreseeable problem is one paragraph on standard error."""
    try:
        app()
    except AcsyncError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(exit_status(error))


def exit_status(error: AcsyncError) -> int:
    """Give the exit status of the contract."""
    if isinstance(error, SettingsError):
        return USAGE
    return ALREADY_RUNNING if isinstance(error, LeaseHeld) else FAILED
