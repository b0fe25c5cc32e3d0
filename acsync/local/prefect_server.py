"""Set up the Prefect API of `acsync up`: deploy, and start the first run."""

import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_HOME,
    temporary_settings,
)

from acsync.errors import AcsyncError
from acsync.local.processes import Processes, Program, program
from acsync.process import PYTHON
from acsync.schedule import DEFAULT_INTERVAL
from acsync.settings import SCHEDULE, read_alert_url, read_settings
from acsync.store.database import Database
from acsync.store.interval import confirm_interval, read_interval
from acsync.store.sync_history import read_last_success
from flows.deployment import WORK_POOL, deploy, make_deployment
from flows.links import api_url, page_url, ui_url
from flows.prefect_api import probe

START_SECONDS = 120
LOOK_SECONDS = 0.3

# With a fixed name the UI lists one worker. Syncs log to Prefect, so only warnings go to the file.
WORKER = Program(
    "worker",
    (
        *PYTHON,
        "-m",
        "flows.worker",
        f"--pool={WORK_POOL}",
        "--type=process",
        "--name=acsync up",
    ),
    {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING"},
)


@contextmanager
def use_api(environment: Mapping[str, str]) -> Iterator[None]:
    """Make this process use the same API as its children."""
    settings: dict[Any, Any] = {PREFECT_API_URL: environment["PREFECT_API_URL"]}
    if password := environment.get("PREFECT_API_AUTH_STRING"):
        settings[PREFECT_API_AUTH_STRING] = password
    if home := environment.get("PREFECT_HOME"):
        settings[PREFECT_HOME] = Path(home)
    with temporary_settings(settings):
        yield


def wait_for_api(processes: Processes) -> None:
    """Wait until the API answers; raises AcsyncError if it does not, or if a process exits."""
    until = time.monotonic() + START_SECONDS
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True) as client,
    ):
        while client.api_healthcheck() is not None:
            processes.require_alive()
            if time.monotonic() > until:
                raise AcsyncError(
                    f"No Prefect API answered at {api_url()} within {START_SECONDS} s.",
                    "Check PREFECT_API_URL, or unset it and acsync up starts a server.",
                )
            time.sleep(LOOK_SECONDS)
        probe(client)


def deploy_here(database: Database) -> UUID:
    """Deploy as `acsync deploy` does, and return the deployment's id."""
    list(deploy(None, read_alert_url()))
    confirm_interval(database, read_settings(SCHEDULE).interval or DEFAULT_INTERVAL)
    with get_client(sync_client=True) as client:
        return client.read_deployment_by_name(make_deployment(None).full_name).id


def start_due_run(deployment_id: UUID, database: Database, simulated: bool) -> None:
    """Start a run if the last success is older than the interval.

    A simulated account always gets one, because its size may have changed.
    """
    with database.begin() as connection:
        last, interval = read_last_success(connection), read_interval(connection)
    if not simulated and last is not None and datetime.now(UTC) - last < interval:
        return
    with get_client(sync_client=True) as client:
        client.create_flow_run_from_deployment(
            deployment_id, parameters={"accept_shrink": simulated}
        )


def where_to_look(deployment_id: UUID, secret_file: Path | None) -> Iterator[str]:
    """Yield lines about the UI and how to start a sync by hand.

    `secret_file` holds the generated password of the server.
    """
    variables = f"PREFECT_API_URL={PREFECT_API_URL.value()}"
    password = ""
    if secret_file:
        variables += f' PREFECT_API_AUTH_STRING="$(cat {shlex.quote(str(secret_file))})"'
        password = f" (its password is in {secret_file})"
    yield f"Prefect:    {ui_url()}{password}"
    yield f"Deployment: {page_url('deployment', deployment_id)}"
    yield "To sync now, paste into another shell:"
    yield f"  export {variables}"
    yield f"  {program('prefect')} deployment run '{make_deployment(None).full_name}'"
