"""Run a real Prefect server of one's own, for a test run or a benchmark."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.processes import ended, wait_for

START_SECONDS = 120
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class PatientTransport(httpx.HTTPTransport):
    """Ask Prefect's server again as long as it answers 503.

    For some writes the server (3.9.1) reads first and then writes in one transaction. SQLite
    refuses the write at once where another transaction was committed in between, as with every
    event of a run that just ended; the server answers 503. Prefect's client waits 2, 4, 8, 16 and
    32 s and gives up; many tries in a row meet a gap.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first other answer."""
        send = super().handle_request

        def answer() -> httpx.Response | None:
            response = send(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return response
            response.close()
            return None

        answered: httpx.Response = wait_for("an answer of Prefect's server but 503", answer)
        return answered


@contextmanager
def prefect_server(home: Path, port: int | None = None) -> Iterator[str]:
    """Start a server whose state lives in `home`, and give the URL of its API.

    Raises TimeoutError where it does not come up; its log is `home/server.log`.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", f"--port={port}"]
    environment = {**os.environ, **QUIET, "PREFECT_HOME": str(home)}
    environment.pop("PREFECT_API_URL", None)
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        with ended(server, within_seconds=20):
            _wait_until_healthy(f"http://127.0.0.1:{port}/api/health", server, home)
            yield f"http://127.0.0.1:{port}/api"


def _wait_until_healthy(url: str, server: "subprocess.Popen[bytes]", home: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    log = (home / "server.log").read_text(errors="replace")
    raise TimeoutError(f"The Prefect server did not start; its log ends with:\n{log[-2000:]}")
