"""Start the temporary server that Prefect uses if no API is set.

Prefect 3.9.1 starts one too. But another process may take its port first, it holds the command's
standard output, and it stays if the command is killed or if it starts too slowly. This module
starts the same server without these faults, and Prefect's clients find it.
"""

import atexit
import os
import signal
import socket
import subprocess
import sysconfig
import time
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS,
    get_current_settings,
    temporary_settings,
)

from acsync import logs
from acsync.errors import AcsyncError
from acsync.process import PYTHON, end_with_parent

# Set by Prefect for its own temporary server.
EPHEMERAL = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}
LOOK_SECONDS = 0.2
ANSWER_SECONDS = 5.0
LOG_BYTES = 4096


@cache
def start_temporary_server() -> None:
    """Start the server once, unless an API is set; raises AcsyncError if it does not start.

    It ends with this process, on Linux also if this process is killed.
    """
    if PREFECT_API_URL.value():
        return
    logs.note("Starting a temporary Prefect server; set PREFECT_API_URL to use your own.")
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        TemporaryFile() as log,
    ):
        process, started = _start(listener, log), time.monotonic()
        # The server starts during this import, which takes two seconds and 60 MB.
        from prefect.server.api.server import SubprocessASGIServer  # noqa: PLC0415

        server = SubprocessASGIServer()
        server.port, server.server_process = listener.getsockname()[1], process
        server.running = True
        listener.close()  # if the server ends, nobody waits for its answer
        atexit.register(server.stop)
        try:
            _wait(process, log, started)
        except BaseException:
            server.stop()
            raise


def has_local_data() -> bool:
    """Return whether a temporary server may know more than a new one."""
    url = get_current_settings().server.database.connection_url
    path = url.get_secret_value().partition("sqlite+aiosqlite:///")[2] if url else ""
    return not path or Path(path.partition("?")[0]).exists()


def _start(listener: socket.socket, log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start the server on a socket that listens already, away from the terminal's Ctrl-C."""
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    command = [*PYTHON, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    # By default, uvicorn also imports from the current folder.
    folder = ["--app-dir", sysconfig.get_path("purelib")]
    options = ["--fd", str(listener.fileno()), "--log-level", "error", "--lifespan", "on"]
    process = subprocess.Popen(  # noqa: S603  # our own command
        [*command, *folder, *options],
        env={**os.environ, **EPHEMERAL, **settings},
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        process_group=0,
        preexec_fn=partial(end_with_parent, signal.SIGKILL),  # noqa: PLW1509
    )
    atexit.register(process.kill)
    return process


def _wait(process: "subprocess.Popen[bytes]", log: IO[bytes], started: float) -> None:
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    seconds = PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value()
    quick = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: ANSWER_SECONDS}
    with temporary_settings(quick), get_client(sync_client=True) as client:
        while client.api_healthcheck() is not None:
            if process.poll() is not None:
                raise AcsyncError(
                    f"Prefect's temporary server ended with status {process.returncode}"
                    f"{_last_line(log)}.",
                    "Check PREFECT_HOME, or set PREFECT_API_URL to a running server.",
                )
            if time.monotonic() > started + seconds:
                raise AcsyncError(
                    f"Prefect's temporary server did not start within {seconds} s.",
                    "Try again, set PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS to more, or "
                    "set PREFECT_API_URL to a running server.",
                )
            time.sleep(LOOK_SECONDS)


def _last_line(log: IO[bytes]) -> str:
    log.seek(0, os.SEEK_END)
    log.seek(max(0, log.tell() - LOG_BYTES))
    lines = log.read().decode(errors="replace").split("\n")
    line = next((line for line in reversed(lines) if line.strip()), "")
    return f": {line.strip().rstrip('.')}" if line else ""
