"""Set up the deployment and its alerts, and say how to go on."""

from prefect.settings import PREFECT_API_URL
from rich.console import Console

from acsync.errors import SettingsError, SettingsProblem
from flows.deployment import deploy


def run_deploy(console: Console, account: str | None, alert_url: str | None) -> None:
    """Print a line for each thing set up; raises SettingsError without a Prefect server.

    What Prefect would start inside this process instead ends with it.
    """
    if not PREFECT_API_URL.value():
        raise SettingsError(
            [
                SettingsProblem(
                    "PREFECT_API_URL",
                    "is not set: start a server with `prefect server start` and set it to "
                    "http://127.0.0.1:4200/api, or log in to Prefect Cloud.",
                )
            ]
        )
    for line in deploy(account, alert_url):
        console.print(line, soft_wrap=True)
