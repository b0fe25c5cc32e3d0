"""Bring up everything on this machine, tell of each sync, and end it all on Ctrl-C."""

from contextlib import closing

from rich.console import Console

import migrations
from acsync.cli.children import Children
from acsync.cli.demo import print_plain
from acsync.cli.following import follow_syncs
from acsync.cli.local_environment import Local, choose_local
from acsync.cli.prefect_logging import quiet_prefect
from acsync.cli.programs import foundations, services
from acsync.settings import DatabaseSettings
from acsync.simulator.account import AccountOptions
from acsync.store.database import open_database
from acsync.store.embedded import is_running, psql_command, stop_embedded


def run_up(console: Console, port: int, options: AccountOptions) -> None:
    """Run until a signal; raises SettingsError before anything starts, or what ended it since.

    `options` are those of the account to simulate where no credentials are set.
    """
    local = choose_local(port, options)
    quiet_prefect()
    had_postgres = _uses_running_postgres(local.settings.database)
    children = Children(local.settings.database.data_dir / "logs")
    try:
        children.end_on_signals()
        _run(console, children, local, options)
    except KeyboardInterrupt:
        console.print("Ending, a running sync first …")
    finally:
        children.kill_on_signals()
        children.end()
        if not had_postgres and _uses_running_postgres(local.settings.database):
            stop_embedded(local.settings.database.data_dir)


def _run(console: Console, children: Children, local: Local, options: AccountOptions) -> None:
    """Start what is needed in turn; then tell of syncs until something happens."""
    print_plain(console, _opening_line(local, options))
    for program in foundations(local.server_port, local.account_port, options):
        children.start(program)
    with closing(open_database(local.settings.database)) as database:
        migrations.upgrade(database)
        from acsync.cli import local_prefect  # noqa: PLC0415  # reads the environment as it is now

        local_prefect.wait_for_api(children)
        deployment_id = local_prefect.deploy_here()
        local_prefect.start_due_run(deployment_id, database, local.simulated)
        for program in services(local_prefect.WORK_POOL):
            children.start(program)
        for line in local_prefect.where_to_look(deployment_id):
            print_plain(console, line)
        print_plain(console, f"Query it:   {_how_to_query(local.settings.database)}")
        print_plain(console, "Ctrl-C ends everything. A line for each sync that ends:")
        follow_syncs(console, children, database)


def _opening_line(local: Local, options: AccountOptions) -> str:
    if not local.simulated:
        return f"Starting, for {local.settings.account_host} …"
    return (
        "Starting, for a simulated account, as neither AC_API_URL nor AC_API_KEY is set: "
        f"{options.contacts:,} contacts, {options.deals:,} deals …"
    )


def _how_to_query(settings: DatabaseSettings) -> str:
    if settings.database_url:
        return f"the views ac_contacts, ac_deals and others in the schema {settings.schema}"
    return psql_command(settings.data_dir)


def _uses_running_postgres(settings: DatabaseSettings) -> bool:
    """Tell whether the embedded one is used and runs: where it did before us, it stays."""
    return settings.database_url is None and is_running(settings.data_dir)
