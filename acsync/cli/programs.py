"""What `acsync up` runs beside itself, as data."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from acsync.simulator.account import AccountOptions

ACSYNC = (sys.executable, "-c", "from acsync.cli import main; main()")

KEEP_RUNS = timedelta(days=7)
KEEP_EVENTS = timedelta(days=1)
"""A sync of 157,000 records leaves 6.5 MB in Prefect's database (3.8.8 with SQLite), of which
5.7 MB are events: this keeps it near 1.1 GB. Prefect's defaults, events for 7 days and runs for
ever, come to 4 GB and 27 GB more each year."""

RETENTION = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": f"P{KEEP_RUNS.days}D",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{KEEP_EVENTS.days}D",
}


@dataclass(frozen=True)
class Program:
    """A command, and what it has in its environment beside ours; its log has the title's name."""

    title: str
    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def foundations(
    server_port: int | None, account_port: int | None, options: AccountOptions
) -> Iterator[Program]:
    """Give what the deployment and its runs need first."""
    if account_port:
        yield _simulated_account(account_port, options)
    if server_port:
        yield _prefect_server(server_port)


def services(pool: str) -> Iterator[Program]:
    """Give what works once the deployment is there."""
    yield _worker(pool)


def _simulated_account(port: int, options: AccountOptions) -> Program:
    """Serve an invented account on a port."""
    words = (
        "simulate",
        f"--port={port}",
        f"--contacts={options.contacts}",
        f"--deals={options.deals}",
        f"--rate={options.rate_limit}",
    )
    return Program("simulated account", (*ACSYNC, *words))


def _prefect_server(port: int) -> Program:
    """Run Prefect's server and UI; what the user has set goes before ours, but for the port."""
    # Prefect writes the UI's files anew; where it is installed it often may not.
    ours = RETENTION | {"PREFECT_SERVER_UI_STATIC_DIRECTORY": f"{os.environ['PREFECT_HOME']}/ui"}
    environment = {name: os.environ.get(name, value) for name, value in ours.items()}
    # Not as an option: the UI would go on asking at the default port.
    environment["PREFECT_SERVER_API_PORT"] = str(port)
    words = (sys.executable, "-m", "prefect", "server", "start")
    return Program("Prefect server", words, environment)


def _worker(pool: str) -> Program:
    """Run the syncs; under one name, so that the UI does not list one more with each start."""
    words = ("-m", "flows.worker", "--pool", pool, "--type", "process", "--name", "acsync up")
    # What the syncs log is in Prefect; a file would only grow.
    quiet = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"}
    return Program("worker", (sys.executable, *words), quiet)
