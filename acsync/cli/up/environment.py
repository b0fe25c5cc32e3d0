"""Choose what `acsync up` works on: the account, its database, the Prefect API, and what runs."""

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from acsync.cli.up.processes import ACSYNC, Program
from acsync.errors import SettingsError, SettingsProblem
from acsync.settings import DatabaseSettings, read_database_settings, read_settings
from acsync.simulator.account import AccountOptions

MAX_RATE = 1000.0  # calls a second that the settings allow, for an account without a limit
CREDENTIALS = ("AC_API_URL", "AC_API_KEY")

# Set for a real account, and not to be used for a simulated one.
OVERRIDDEN = ("POSTGRES_URL", "DATABASE_URL", "ACSYNC_SCHEMA", "LIMIT_PER_PAGE")

# A sync of 157,000 records leaves 6.5 MB in Prefect's database (3.8.8 with SQLite), of which
# 5.7 MB are events: this keeps it near 1.1 GB. With Prefect's defaults, events for 7 days and
# runs for ever, it is 4 GB and 27 GB more each year.
KEEP_RUNS = timedelta(days=7)
KEEP_EVENTS = timedelta(days=1)
RETENTION = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": f"P{KEEP_RUNS.days}D",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{KEEP_EVENTS.days}D",
}


@dataclass(frozen=True)
class Local:
    """What was chosen; a port is None where nothing is to be started for it.

    `environment` is that of everything that is started.
    """

    environment: Mapping[str, str]
    database: DatabaseSettings
    account_host: str
    account_port: int | None
    server_port: int | None

    @property
    def simulated(self) -> bool:
        """Tell whether the account is a simulated one."""
        return self.account_port is not None

    def first_programs(self, options: AccountOptions) -> Iterator[Program]:
        """Return what the deployment and its runs need first."""
        if self.account_port:
            yield _simulated_account(self.account_port, options)
        if self.server_port:
            yield _prefect_server(self.server_port, self.environment)


def choose_local(port: int, options: AccountOptions) -> Local:
    """Choose by this process's environment; without credentials the account is simulated.

    Raises SettingsError, also for a `port` of the Prefect server that is taken.
    """
    account_port = None
    if any(os.environ.get(name, "").strip() for name in CREDENTIALS):
        settings = read_settings()
        environment, host, database = dict(os.environ), settings.account_host, settings.database
    else:
        _refuse_foreign_api()
        account_port = _free_port()
        host = f"127.0.0.1:{account_port}"
        database = embedded_in(read_database_settings().data_dir / "simulated")
        environment = simulated_environment(
            f"http://{host}", options.api_key, options.rate_limit or MAX_RATE, database.data_dir
        )
    server_port = None
    if not environment.get("PREFECT_API_URL"):
        _require_free(port)
        server_port = port
        environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        environment["PREFECT_HOME"] = str(database.data_dir / "prefect")
    return Local(environment, database, host, account_port, server_port)


def simulated_environment(
    url: str, api_key: str, calls_per_second: float, data_dir: Path
) -> dict[str, str]:
    """Return this process's environment, pointed at a simulated account and at nothing else."""
    kept = {name: value for name, value in os.environ.items() if name not in OVERRIDDEN}
    return kept | {
        "AC_API_URL": url,
        "AC_API_KEY": api_key,
        "AC_RATE_LIMIT": f"{calls_per_second:g}",
        "ACSYNC_DATA_DIR": str(data_dir),
    }


def embedded_in(data_dir: Path) -> DatabaseSettings:
    """Return the settings of the embedded Postgres there, whatever else is set."""
    return DatabaseSettings(database_url=None, schema_name="public", data_dir=data_dir)


def worker(pool: str) -> Program:
    """Return the worker; it always has the same name, so that the UI lists it once."""
    words = ("-m", "flows.worker", "--pool", pool, "--type", "process", "--name", "acsync up")
    # What the syncs log is in Prefect; a file would only grow.
    quiet = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"}
    return Program("worker", (sys.executable, *words), quiet)


def _simulated_account(port: int, options: AccountOptions) -> Program:
    words = (
        "simulate",
        f"--port={port}",
        f"--contacts={options.contacts}",
        f"--deals={options.deals}",
        f"--rate={options.rate_limit}",
    )
    return Program("simulated account", (*ACSYNC, *words))


def _prefect_server(port: int, environment: Mapping[str, str]) -> Program:
    """Return Prefect's server with its UI; what the user has set goes before our defaults."""
    # Prefect writes the UI's files anew; where it is installed it often may not.
    ui_folder = f"{environment['PREFECT_HOME']}/ui"
    defaults = RETENTION | {"PREFECT_SERVER_UI_STATIC_DIRECTORY": ui_folder}
    # The port is not an option: the UI would go on asking at the default port.
    return Program(
        "Prefect server",
        (sys.executable, "-m", "prefect", "server", "start"),
        {
            **{name: environment.get(name, value) for name, value in defaults.items()},
            "PREFECT_SERVER_API_PORT": str(port),
        },
    )


def _refuse_foreign_api() -> None:
    """Raise SettingsError where the worker of a simulated account could take real runs."""
    if os.environ.get("PREFECT_API_URL"):
        message = (
            "is set, but neither AC_API_URL nor AC_API_KEY: a worker for the simulated account "
            "could take the syncs of a real one there. Set both, or unset PREFECT_API_URL."
        )
        raise SettingsError([SettingsProblem("PREFECT_API_URL", message)])


def _require_free(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            message = (
                "for the Prefect server is taken. End what listens there, perhaps another acsync "
                "up, or use another port: acsync up --port 4300"
            )
            problem = SettingsProblem(f"Port {port} of 127.0.0.1", message)
            raise SettingsError([problem]) from None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
