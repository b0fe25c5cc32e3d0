"""Serve the simulated account alone."""

from collections.abc import Sequence

import typer
from rich.console import Console

from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.fault_injection import FAULTS
from acsync.simulator.server import serve_forever


def run_simulator(
    console: Console, port: int, options: AccountOptions, faults: Sequence[str]
) -> None:
    """Serve until interrupted; raises a usage error for a fault that does not exist."""
    account = Account(options)
    for name in faults:
        if name not in FAULTS:
            raise typer.BadParameter(f"no fault is called {name!r}; there are: {', '.join(FAULTS)}")
        account.faults.add(*FAULTS[name])
    console.print(
        f"A simulated account at http://127.0.0.1:{port}, key {options.api_key}. Ctrl-C ends it.",
        highlight=False,
        soft_wrap=True,
    )
    serve_forever(account, port)
