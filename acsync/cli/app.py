"""The commands, their options, and their exit status.

A command imports what only it needs in its own function: Prefect takes seconds, SQLAlchemy half a
second.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from acsync import logs
from acsync.cli.version import describe_version
from acsync.datasets import DatasetName
from acsync.env_file import load_env_file, unknown_variables
from acsync.errors import (
    AcsyncError,
    LeaseHeld,
    SettingsError,
    use_account,
)
from acsync.proxies import bypass_for_loopback
from acsync.settings import (
    ACCOUNT,
    DATABASE,
    SCHEDULE,
    SERVICE,
    Settings,
    parse_kept,
    read_alert_url,
    read_settings,
)

FAILED = 1
EXIT_STATUS: dict[type[AcsyncError], int] = {SettingsError: 2, LeaseHeld: 3}

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


def _use_account(name: str | None) -> str | None:
    use_account(name)
    return name


AccountName = Annotated[
    str | None,
    typer.Option(
        "--account", callback=_use_account, help="Take the credentials from this Prefect block."
    ),
]
Contacts = Annotated[int, typer.Option(min=0, help="Contacts in the simulated account.")]
Deals = Annotated[int, typer.Option(min=0, help="Deals in the simulated account.")]
Rate = Annotated[float, typer.Option(min=0.1, help="Calls per second that it allows.")]

# Results go to standard output, errors to standard error. Text of others is never markup.
console = Console(markup=False, emoji=False, highlight=False)


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


@app.command()
def demo(contacts: Contacts = 2_500, deals: Deals = 1_200, rate: Rate = 10.0) -> None:
    """Copy a simulated account, show the copy and how to query it."""
    from acsync.cli.demo import run_demo  # noqa: PLC0415

    run_demo(console, contacts, deals, rate)


@app.command()
def check(
    account: AccountName = None,
    save_samples: Annotated[
        Path | None,
        typer.Option(help="Save the account's answers in this folder, with every value replaced."),
    ] = None,
) -> None:
    """Check everything that a sync needs, without changing anything."""
    from acsync.cli.check import run_check  # noqa: PLC0415

    run_check(console, settings_of(account), account, save_samples)


@app.command()
def sync(
    only: Annotated[DatasetName | None, typer.Option(help="Copy only this dataset.")] = None,
    accept_shrink: Annotated[
        bool, typer.Option("--accept-shrink", help="Publish even if many records are gone.")
    ] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Read only what changed since the last sync.")
    ] = False,
    account: AccountName = None,
) -> None:
    """Run one sync now."""
    from acsync.cli.sync import run_sync  # noqa: PLC0415

    warn_of_unknown_variables()
    settings = database_of(account, DATABASE + ACCOUNT)
    for line in run_sync(console, settings, only, accept_shrink, account, incremental):
        console.print(line, soft_wrap=True)


@app.command()
def verify(
    sample: Annotated[
        int, typer.Option(min=1, help="Random records of each dataset to compare.")
    ] = 200,
    only: Annotated[DatasetName | None, typer.Option(help="Verify only this dataset.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave undecided what only the next sync can tell.")
    ] = False,
    account: AccountName = None,
) -> None:
    """Compare random records with the account; print ids and fields, never values."""
    from acsync.cli.verify import run_verify  # noqa: PLC0415

    settings = database_of(account, DATABASE + ACCOUNT)
    run_verify(console, settings, only, sample, as_json, not no_wait)


@app.command()
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
        typer.Option(
            metavar="VALUE", help="Keep this much history, also if it is less than now: 7d, 20."
        ),
    ] = None,
    account: AccountName = None,
) -> None:
    """Bring the schema up to date."""
    from acsync.cli.migrate import print_migration, run_migrate  # noqa: PLC0415

    warn_of_unknown_variables()
    kept = _read_kept(keep) if keep else None
    if sql:
        print_migration(settings_of(account, DATABASE))
    else:
        settings = database_of(account, (*DATABASE, "ACSYNC_INTERVAL"))
        run_migrate(console, settings, adopt_account, kept)


def _read_kept(text: str) -> int | timedelta:
    try:
        return parse_kept(text)
    except ValueError as error:
        raise typer.BadParameter(f"--keep {error}") from None


@app.command()
def status(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what the status endpoint answers.")
    ] = False,
    max_age: Annotated[
        str | None, typer.Option(help="Fail if the data is older than this: 30m, 2h, 900s.")
    ] = None,
    account: AccountName = None,
) -> None:
    """Show what is published, when the next sync is due, and how the last syncs went."""
    from acsync.cli.status import run_status  # noqa: PLC0415

    run_status(console, database_of(account), as_json, max_age, account)


@app.command()
def show(
    kind: Annotated[Literal["contact", "deal"], typer.Argument(metavar="contact|deal")],
    record_id: Annotated[int, typer.Argument(metavar="ID", min=1)],
    live: Annotated[bool, typer.Option("--live", help="Ask the account as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    account: AccountName = None,
) -> None:
    """Show the copy of one record and its history, and what the account says now."""
    from acsync.cli.show import run_show  # noqa: PLC0415

    settings = database_of(account, DATABASE + ACCOUNT if live else DATABASE)
    run_show(console, settings, kind, record_id, live, as_json)


@app.command()
def forget(
    _kind: Annotated[Literal["contact"], typer.Argument(metavar="contact")],
    contact_id: Annotated[int | None, typer.Argument(metavar="ID", min=1)] = None,
    email: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Forget all contacts that have or had this address."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Let later syncs copy the person again.")
    ] = False,
    account: AccountName = None,
) -> None:
    """Remove a person from the copy and its history, and leave it out of later syncs."""
    from acsync.cli.forget import run_forget, run_undo  # noqa: PLC0415
    from acsync.sync.forget import Person  # noqa: PLC0415

    address = (email or "").strip() or None
    if (contact_id is None) == (address is None):
        raise typer.BadParameter("Name either the ID of a contact or its --email.")
    settings, person = database_of(account), Person(contact_id, address)
    if undo:
        run_undo(console, settings, person)
    else:
        run_forget(console, settings, person, yes, as_json)


@app.command()
def export(  # noqa: PLR0913, PLR0917  # one per option
    name: Annotated[DatasetName, typer.Argument(metavar="contacts|deals")],
    form: Annotated[
        Literal["csv", "jsonl", "parquet", "xlsx"] | None,
        typer.Option("--format", help="Default: by the ending of the file."),
    ] = None,
    output: Annotated[str, typer.Option(help="File to write; - is standard output.")] = "-",
    wide: Annotated[bool, typer.Option("--wide", help="One column per custom field.")] = False,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Only these columns, in this order.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="SYNC", help="Records of an earlier sync, as JSON Lines."),
    ] = None,
    account: AccountName = None,
) -> None:
    """Export the published records to CSV, JSON Lines, Parquet or Excel."""
    from acsync.cli.export import Request, run_export  # noqa: PLC0415

    by_name: dict[str, Literal["csv", "jsonl", "parquet", "xlsx"]] = {
        ".csv": "csv",
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".parquet": "parquet",
        ".xlsx": "xlsx",
    }
    ending = Path(output).suffix.lower()
    if form is None and ending and output != "-" and ending not in by_name:
        raise typer.BadParameter(
            f"{ending} is not one of {', '.join(by_name)}. Name the format with --format."
        )
    chosen = form or by_name.get(ending, "jsonl" if as_of else "csv")
    if as_of and (wide or columns is not None or chosen != "jsonl"):
        raise typer.BadParameter(
            "--as-of writes JSON Lines only. Remove --wide and --columns, and use --format jsonl."
        )
    names = () if columns is None else tuple(dict.fromkeys(map(str.strip, columns.split(","))))
    run_export(database_of(account), Request(name, chosen, wide, names, as_of), output)


@app.command()
def dbt(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")],
    account: AccountName = None,
) -> None:
    """Write a dbt project for this account into a folder."""
    from acsync.cli.dbt import run_dbt  # noqa: PLC0415

    run_dbt(console, database_of(account), folder)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8000,
    account: AccountName = None,
) -> None:
    """Serve dashboard, status, metrics and trigger until Ctrl-C."""
    warn_of_unknown_variables()
    settings = database_of(account, DATABASE + SERVICE)
    from acsync.cli.serve import run_serve  # noqa: PLC0415

    run_serve(console, settings, account, host, port)


@app.command()
def deploy(account: AccountName = None) -> None:
    """Create the deployment and its alerts on the Prefect API."""
    warn_of_unknown_variables()
    alert_url = read_alert_url()
    settings = settings_of(account, DATABASE + SCHEDULE)
    from acsync.cli.deploy import run_deploy  # noqa: PLC0415

    run_deploy(console, settings, account, alert_url)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def worker(context: typer.Context) -> None:
    """Run the syncs of all deployments until Ctrl-C; options as `prefect worker start`."""
    from flows.worker import run_worker  # noqa: PLC0415

    has_pool = any(argument.startswith(("--pool", "-p")) for argument in context.args)
    pool = [] if has_pool else ["--pool", "acsync"]
    sys.exit(run_worker([*pool, *context.args]))


@app.command()
def up(
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="Port of the Prefect server.")
    ] = 4200,
    web_port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Port of the dashboard: 8000, or a free one."),
    ] = None,
    contacts: Contacts = 2_500,
    deals: Deals = 1_200,
    rate: Rate = 10.0,
) -> None:
    """Run everything on this machine until Ctrl-C.

    Without credentials it syncs a simulated account.
    """
    warn_of_unknown_variables()
    from acsync.local.up import run_up  # noqa: PLC0415
    from acsync.simulator.account import AccountOptions  # noqa: PLC0415

    run_up(console, port, web_port, AccountOptions(contacts=contacts, deals=deals, rate_limit=rate))


@app.command()
def simulate(  # noqa: PLR0913, PLR0917  # one per option
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0 is any free one.")
    ] = 8765,
    contacts: Contacts = 2_500,
    deals: Deals = 1_200,
    rate: Rate = 10.0,
    latency: Annotated[float, typer.Option(min=0, help="Seconds per call.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Each seed makes another account.")] = 1,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="Break it on purpose: bad-network, shared-budget, key-revoked, page-always-fails, "
            "orders-ignored. Can be repeated."
        ),
    ] = None,
) -> None:
    """Serve only the simulated account until Ctrl-C."""
    from acsync.cli.serve import listen  # noqa: PLC0415
    from acsync.simulator.account import Account, AccountOptions  # noqa: PLC0415
    from acsync.simulator.fault_injection import FAULTS  # noqa: PLC0415
    from acsync.simulator.server import serve_forever  # noqa: PLC0415

    account = Account(
        AccountOptions(
            contacts=contacts, deals=deals, rate_limit=rate, latency_seconds=latency, seed=seed
        )
    )
    for name in fault or []:
        if name not in FAULTS:
            raise typer.BadParameter(f"{name!r} is unknown; the faults are: {', '.join(FAULTS)}")
        account.faults.add(*FAULTS[name])
    with listen("127.0.0.1", port, "The simulated account", "acsync simulate") as listener:
        console.print(
            f"A simulated account at http://127.0.0.1:{listener.getsockname()[1]}, key "
            f"{account.options.api_key}. Ctrl-C stops it.",
            soft_wrap=True,
        )
        serve_forever(account, listener)


def settings_of(account: str | None, variables: Sequence[str] = DATABASE + ACCOUNT) -> Settings:
    """Read these variables, or the fields of the account's block; raises SettingsError."""
    if account is None:
        return read_settings(variables)
    from flows import blocks  # noqa: PLC0415

    return blocks.read_block_settings(account, variables)


def database_of(account: str | None, variables: Sequence[str] = DATABASE) -> Settings:
    """Read the settings likewise, and start the embedded Postgres if they have no URL."""
    from acsync.local.embedded_postgres import with_database_url  # noqa: PLC0415

    return with_database_url(settings_of(account, variables))


def warn_of_unknown_variables() -> None:
    """Name misspelt variables on standard error; nothing fails because of them."""
    for sentence in unknown_variables():
        logs.warn(sentence)


def main() -> None:
    """Run a command; an expected error is one paragraph on standard error."""
    # Exit as Ctrl-C does: Prefect stops its temporary server only if Python exits normally.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app(prog_name="acsync")
    except AcsyncError as error:
        logs.report(error)
        sys.exit(EXIT_STATUS.get(type(error), FAILED))
