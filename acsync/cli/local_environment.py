"""Choose what `acsync up` works on: the account, its database and the Prefect API."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from acsync.cli.simulated import point_at_simulated
from acsync.errors import SettingsError, SettingsProblem
from acsync.settings import Settings, read_database_settings, read_settings
from acsync.simulator.account import AccountOptions

FASTEST = 1000.0
"""Calls a second that the settings allow, for an account without a limit."""

CREDENTIALS = ("AC_API_URL", "AC_API_KEY")


@dataclass(frozen=True)
class Local:
    """What was chosen; a port is None where nothing is to be started for it."""

    settings: Settings
    account_port: int | None
    server_port: int | None

    @property
    def simulated(self) -> bool:
        """Tell whether the account is an invented one."""
        return self.account_port is not None


def choose_local(port: int, options: AccountOptions) -> Local:
    """Set this process's environment, which what it starts inherits.

    Without credentials the account is simulated. Raises SettingsError, also for a port that is
    taken.
    """
    simulated = not any(os.environ.get(name, "").strip() for name in CREDENTIALS)
    account_port = _simulate(options) if simulated else None
    settings = read_settings()
    own_server = _choose_api(port, settings.database.data_dir)
    return Local(settings, account_port, port if own_server else None)


def _simulate(options: AccountOptions) -> int:
    """Point everything at a simulated account, and at a database of its own; gives its port.

    The worker of one must not take the runs of a real account, nor write where they do.
    """
    if os.environ.get("PREFECT_API_URL"):
        raise SettingsError(
            [
                SettingsProblem(
                    "PREFECT_API_URL",
                    "is set, but neither AC_API_URL nor AC_API_KEY: a worker for the simulated "
                    "account could take the syncs of a real one there. Set both, or unset "
                    "PREFECT_API_URL.",
                )
            ]
        )
    port = _free_port()
    data_dir = read_database_settings().data_dir / "simulated"
    rate = options.rate_limit or FASTEST
    point_at_simulated(f"http://127.0.0.1:{port}", options.api_key, rate, data_dir)
    return port


def _choose_api(port: int, data_dir: Path) -> bool:
    """Point Prefect at the API in the environment, or at a server that we are to start.

    Tells whether we are; raises SettingsError where its port is taken.
    """
    if os.environ.get("PREFECT_API_URL"):
        return False
    _require_free(port)
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    os.environ["PREFECT_HOME"] = str(data_dir / "prefect")
    return True


def _require_free(port: int) -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            raise SettingsError(
                [
                    SettingsProblem(
                        f"Port {port} of 127.0.0.1",
                        "for the Prefect server is taken. End what listens there, perhaps another "
                        "acsync up, or use another port: acsync up --port 4300",
                    )
                ]
            ) from None


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
