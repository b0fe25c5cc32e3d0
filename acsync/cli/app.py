"""The `acsync` program: its commands, what each process sets up first, and its exit status.

The options of a command are in its module. All these modules are imported to show the help, so
they import what only a run needs in their functions: Prefect takes seconds, SQLAlchemy 0.2 s.
"""

import logging
import os
import signal
import sys
from typing import Annotated

import typer

from acsync import logs
from acsync.cli.check import check
from acsync.cli.dbt import dbt
from acsync.cli.demo import demo
from acsync.cli.deploy import deploy
from acsync.cli.export import export
from acsync.cli.forget import forget
from acsync.cli.migrate import migrate
from acsync.cli.options import console
from acsync.cli.serve import serve
from acsync.cli.show import show
from acsync.cli.simulate import simulate
from acsync.cli.status import status
from acsync.cli.sync import sync
from acsync.cli.up import up
from acsync.cli.verify import verify
from acsync.cli.version import describe_version
from acsync.cli.worker import worker
from acsync.env_file import load_env_file
from acsync.errors import AcsyncError
from acsync.proxies import bypass_for_loopback

# Keeps Prefect's own lines out of the output, unless the user has set these variables. Prefect
# reads them when it is imported, so no module of a command imports it at the top.
QUIET_PREFECT = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
# Prefect's default of 20 seconds is too short for a busy machine.
PATIENT_PREFECT = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}

# A `.env` names a real account and its Prefect server. These commands use an invented one.
NO_ENV_FILE = ("demo", "simulate")

# These commands load Prefect or start a server before their first line.
SLOW = ("check", "deploy", "sync")

app = typer.Typer(
    name="acsync",
    help="Copy every contact and deal of an ActiveCampaign account into Postgres.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # it shows `<bool>` next to every flag
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        console.print(describe_version())
        raise typer.Exit


@app.callback()
def every_command(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    if context.invoked_subcommand not in NO_ENV_FILE:
        load_env_file()
    bypass_for_loopback()
    quiet = {} if context.invoked_subcommand == "worker" else QUIET_PREFECT
    for name, value in (quiet | PATIENT_PREFECT).items():
        os.environ.setdefault(name, value)
    logs.set_up_command()
    if context.invoked_subcommand in SLOW and sys.stderr.isatty():
        logs.note(f"Starting acsync {context.invoked_subcommand} …")
    # If its server is down, Prefect prints each log line that it could not send.
    logging.raiseExceptions = False


# In the order of the help.
for command in (
    demo,
    check,
    sync,
    verify,
    migrate,
    status,
    show,
    forget,
    export,
    dbt,
    serve,
    deploy,
):
    app.command()(command)
# Its options are those of Prefect.
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)(worker)
app.command()(up)
app.command()(simulate)


def main() -> None:
    """Run a command; an expected error is one paragraph on standard error."""
    # Exit as Ctrl-C does: Prefect stops its temporary server only if Python exits normally.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app(prog_name="acsync")
    except AcsyncError as error:
        logs.report(error)
        sys.exit(error.exit_status)
