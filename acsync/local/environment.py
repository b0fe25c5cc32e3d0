"""Choose account, database and Prefect API for `acsync up`."""

import os
import secrets
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from acsync.env_file import DISABLED
from acsync.errors import SettingsError, SettingsProblem
from acsync.local.processes import ACSYNC, Program, make_folder
from acsync.process import PYTHON
from acsync.settings import (
    ACCOUNT,
    CREDENTIALS,
    DATABASE,
    LOGS,
    SCHEDULE,
    SERVICE,
    Settings,
    read_settings,
    read_together,
)
from acsync.simulator.account_options import AccountOptions

HOST = "127.0.0.1"
WEB_PORT = 8000
MAX_RATE = 1000.0  # calls per second: the highest AC_RATE_LIMIT, for an account without a limit

# All that the programs read, so that none of them exits later because of one.
VARIABLES = (*DATABASE, *ACCOUNT, *SCHEDULE, *SERVICE, *LOGS)

# Variables of a real account that a simulated one must not use.
OVERRIDDEN = ("POSTGRES_URL", "DATABASE_URL", "ACSYNC_SCHEMA", "ACSYNC_DATASETS", "LIMIT_PER_PAGE")

# A sync of 157,000 records adds 6.5 MB to Prefect's database (3.8.8, SQLite), 5.7 MB of them
# events. These limits keep it near 1.1 GB. Prefect's defaults keep events for 7 days and runs
# without limit: 4 GB, growing by 27 GB a year.
KEEP_RUNS = timedelta(days=7)
KEEP_EVENTS = timedelta(days=1)
RETENTION = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": f"P{KEEP_RUNS.days}D",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{KEEP_EVENTS.days}D",
}

# By default Prefect's server (3.9.1) keeps concurrency slots in memory. After a restart it cannot
# renew them: a sync of more than four minutes is ended, and a crashed run keeps its slot.
LEASE_STORAGE = "prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True)
class Local:
    """Account, database and processes of one `acsync up`.

    All programs get `environment`, `programs` start before the deployment, and the service listens
    on `web_port`. `secret_file` holds the generated password of the Prefect server.
    """

    account: str
    simulated: bool
    database: Settings
    environment: Mapping[str, str]
    programs: tuple[Program, ...]
    web_port: int
    secret_file: Path | None = None

    @property
    def web(self) -> Program:
        """Return the program of our HTTP service."""
        return Program("service", (*ACSYNC, "serve", f"--port={self.web_port}"))


def choose_local(port: int, web_port: int | None, options: AccountOptions) -> Local:
    """Choose by the environment: without credentials, the account is simulated.

    `port` is for the Prefect server. The service listens on `web_port`, or without one on 8000 or
    any free port. Raises SettingsError, also if a port is taken.
    """
    simulated = not any(os.environ.get(name, "").strip() for name in CREDENTIALS)
    has_server = bool(os.environ.get("PREFECT_API_URL"))
    unused = (*CREDENTIALS, "AC_RATE_LIMIT", "LIMIT_PER_PAGE") if simulated else ()
    settings, server_port, page_port, *_ = read_together(
        lambda: read_settings(name for name in VARIABLES if name not in unused),
        lambda: has_server or _claim_port(port, "for the Prefect server", "--port 4300"),
        lambda: _claim_web_port(web_port),
        lambda: _refuse_foreign_server() if simulated and has_server else None,
        _require_alert_url,
    )
    if simulated:
        local = _simulate(settings, options, page_port)
    else:
        environment = dict(os.environ)
        local = Local(settings.account_host, False, settings, environment, (), page_port)
    return local if has_server else _add_server(local, server_port)


def _refuse_foreign_server() -> NoReturn:
    message = (
        "is set, but neither AC_API_URL nor AC_API_KEY: a worker for the simulated account might "
        "run the syncs of a real one there. Set both, or unset PREFECT_API_URL."
    )
    raise SettingsError([SettingsProblem("PREFECT_API_URL", message)])


def _require_alert_url() -> None:
    if os.environ.get("ACSYNC_ALERT_URL"):
        # Importing Prefect takes seconds.
        from flows.notifications import require_alert_url  # noqa: PLC0415

        require_alert_url()


def simulated_environment(
    url: str, api_key: str, calls_per_second: float, data_dir: Path
) -> dict[str, str]:
    """Return this process's environment with only the simulated account in it."""
    kept = {name: value for name, value in os.environ.items() if name not in OVERRIDDEN}
    return kept | {
        "AC_API_URL": url,
        "AC_API_KEY": api_key,
        "AC_RATE_LIMIT": f"{calls_per_second:g}",
        "ACSYNC_DATA_DIR": str(data_dir),
        DISABLED: "true",  # a .env may name a real account
    }


def embedded_in(data_dir: Path) -> Settings:
    """Return settings for the embedded Postgres in `data_dir`, ignoring the environment."""
    return Settings.model_validate({"ACSYNC_DATA_DIR": data_dir})


def _simulate(settings: Settings, options: AccountOptions, web_port: int) -> Local:
    port = _claim_port(0)
    database = embedded_in(settings.data_dir / "simulated")
    environment = simulated_environment(
        f"http://{HOST}:{port}",
        options.api_key,
        options.rate_limit or MAX_RATE,
        database.data_dir,
    )
    size = (f"--contacts={options.contacts}", f"--deals={options.deals}")
    command = (*ACSYNC, "simulate", f"--port={port}", *size, f"--rate={options.rate_limit}")
    program = Program("simulated account", command)
    account = (
        "a simulated account, because AC_API_URL and AC_API_KEY are not set: "
        f"{options.contacts:,} contacts, {options.deals:,} deals"
    )
    return Local(account, True, database, environment, (program,), web_port)


def _add_server(local: Local, port: int) -> Local:
    """Add a Prefect server with its UI; variables that the user has set override our defaults.

    Anyone who reaches its API can read the account's key and run commands as the worker. So it
    requires a password, listens on loopback only, and rejects cross-origin requests.
    """
    home = local.database.data_dir / "prefect"
    make_folder(local.database.data_dir)
    make_folder(home)
    password, secret_file = os.environ.get("PREFECT_SERVER_API_AUTH_STRING"), None
    if not password:
        secret_file = local.database.data_dir / "prefect.password"
        password = _keep_secret(secret_file)
    defaults = RETENTION | {
        # Prefect rewrites the UI's files at each start, and its installation may be read-only.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASE_STORAGE,
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
    }
    # As an option, the port would be unknown to the UI, which would ask at the default port.
    chosen = defaults | {name: os.environ[name] for name in defaults if name in os.environ}
    server = Program(
        "Prefect server",
        (*PYTHON, "-m", "prefect", "server", "start"),
        chosen | {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_SERVER_API_AUTH_STRING": password},
    )
    api = {
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_API_AUTH_STRING": password,
        "PREFECT_HOME": str(home),
    }
    return replace(
        local,
        environment={**local.environment, **api},
        programs=(*local.programs, server),
        secret_file=secret_file,
    )


def _keep_secret(file: Path) -> str:
    """Return the password in the file; make a new one if there is none."""
    with suppress(FileNotFoundError):
        return file.read_text(encoding="utf-8").strip()
    password = f"acsync:{secrets.token_urlsafe(24)}"
    file.touch(mode=0o600)
    file.write_text(password + "\n", encoding="utf-8")
    return password


def _claim_web_port(port: int | None) -> int:
    if port is not None:
        return _claim_port(port, "for the dashboard", "--web-port 8001")
    try:
        return _claim_port(WEB_PORT)
    except SettingsError:
        return _claim_port(0)


def _claim_port(port: int, purpose: str = "", option: str = "") -> int:
    """Return the port, or any free one for 0; raises SettingsError if it is taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            message = (
                f"{purpose} is taken. Stop what listens there, perhaps another acsync up, or use "
                f"another port: acsync up {option}"
            )
            problem = SettingsProblem(f"Port {port} of {HOST}", message)
            raise SettingsError([problem]) from None
        free: int = listener.getsockname()[1]
        return free
