"""Serve only the simulated account."""

from typing import Annotated

import typer

from acsync.cli.options import Contacts, Deals, Rate, console, settings_of
from acsync.cli.serve import listen


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
    settings_of(None, ())
    from acsync.simulator.account import Account
    from acsync.simulator.account_options import AccountOptions
    from acsync.simulator.fault_injection import FAULTS
    from acsync.simulator.server import serve_forever

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
