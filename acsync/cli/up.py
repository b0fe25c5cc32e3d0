"""Run everything on this machine."""

from typing import Annotated

import typer

from acsync.cli.options import Contacts, Deals, Rate, console, warn_of_unknown_variables


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
    from acsync.local.up import run_up
    from acsync.simulator.account_options import AccountOptions

    run_up(console, port, web_port, AccountOptions(contacts=contacts, deals=deals, rate_limit=rate))
