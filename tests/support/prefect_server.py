"""Run a real Prefect server and worker, as an operator starts them, and receive alerts."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import httpx
import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console

from acsync.cli.deploy import VARIABLES, run_deploy
from acsync.cli.options import settings_of
from tests.support.commands import PATIENCE_SECONDS, ended, wait_for

DEPLOYMENT = "sync-activecampaign/every-15-minutes"
START_SECONDS = 120

# The first server's database after its migrations, which take half the CPU of a start.
MIGRATED: list[bytes] = []
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class PatientTransport(httpx.HTTPTransport):
    """Ask Prefect's server again while it answers 503.

    For some writes the server (3.9.1) reads first and then writes in one transaction. SQLite
    refuses the write if another transaction was committed in between, for example with the events
    of a run that just ended, and the server answers 503. Prefect's client stops after waits of
    2, 4, 8, 16 and 32 s. Many quick retries find a gap.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first answer that is not a 503."""
        send = super().handle_request

        def answer() -> httpx.Response | None:
            response = send(request)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return response
            response.close()
            return None

        answered: httpx.Response = wait_for(
            "an answer of Prefect's server that is not a 503", answer
        )
        return answered


@contextmanager
def prefect_server(home: Path, port: int | None = None) -> Iterator[str]:
    """Start a server whose state is in `home`, and yield the URL of its API.

    Raises TimeoutError if it does not start; its log is `home/server.log`.
    """
    home.mkdir(parents=True, exist_ok=True)
    port, database = port or free_port(), home / "prefect.db"
    if MIGRATED and not database.exists():
        database.write_bytes(MIGRATED[0])
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", f"--port={port}"]
    environment = {**os.environ, **QUIET, "PREFECT_HOME": str(home)}
    environment.pop("PREFECT_API_URL", None)
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        with ended(server, within_seconds=20):
            _wait_until_healthy(f"http://127.0.0.1:{port}/api/health", server, home)
            if not MIGRATED and database.exists():
                with closing(sqlite3.connect(database)) as connection:
                    MIGRATED.append(connection.serialize())
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


@contextmanager
def prefect_worker(home: Path, api: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker of the pool `acsync`, with its log in `home/worker.log`."""
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "flows.worker", "--pool", "acsync", *arguments]
    own = {"PREFECT_API_URL": api, "PREFECT_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            command, env={**os.environ, **QUIET, **own}, stdout=log, stderr=log
        )
        with ended(worker, within_seconds=30):
            yield worker


def deploy(account: str | None = None, verify_daily: bool | None = None) -> str:
    """Deploy as `acsync deploy` does, on the API of the environment, and return its lines."""
    with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
        output = StringIO()
        settings = settings_of(account, VARIABLES)
        run_deploy(Console(file=output), settings, account, verify_daily)
        return output.getvalue()


def run_by_hand() -> str:
    """Run the deployment to its end as an operator does, and return the name of its state."""
    run = run_deployment(DEPLOYMENT, timeout=5 * PATIENCE_SECONDS, poll_interval=0.5)
    assert isinstance(run, FlowRun)
    assert run.state
    return str(run.state.name)


def forget() -> None:
    """Delete all deployments, work pools, automations, blocks and variables."""
    patient = {"transport": PatientTransport()}
    with get_client(sync_client=True, httpx_settings=patient) as client:
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        for automation in client.read_automations():
            client.delete_automation(automation.id)
        for block in client.read_block_documents(limit=None):
            client.delete_block_document(block.id)
        for variable in client.read_variables():
            client.delete_variable_by_name(variable.name)
        for pool in client.read_work_pools():
            client.delete_work_pool(pool.name)


def shorten_patience(api: httpx.Client, automation: str, seconds: int) -> None:
    """Let an automation act after a few seconds; the next run starts its clock."""
    filters = {"automations": {"name": {"any_": [automation]}}}
    (saved,) = api.post("/automations/filter", json=filters).json()
    number = saved.pop("id")
    kept = {key: value for key, value in saved.items() if key not in ("created", "updated")}
    kept["trigger"]["within"] = seconds
    api.put(f"/automations/{number}", json=kept).raise_for_status()


def temporary_servers(variable: str, home: Path) -> list[psutil.Process]:
    """Return the servers that commands started for themselves with this home."""

    def is_one(process: psutil.Process) -> bool:
        try:
            is_server = "prefect.server.api.server:create_app" in process.cmdline()
            return is_server and process.environ().get(variable) == str(home)
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if is_one(process)]


class Webhook(ThreadingHTTPServer):
    """Keeps every message in order, and answers each with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.messages: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """Return the address to send to, with a token as real ones have."""
        return f"http://127.0.0.1:{self.server_port}/hook/secret-token"

    def subjects(self, word: str) -> list[str]:
        """Return the subjects that contain this word."""
        return [sent["subject"] for sent in self.messages if word in sent["subject"]]

    def body_of(self, subject: str) -> str:
        """Return the body of the messages with this subject.

        If SQLite is locked for a minute, Prefect's triggers (3.8.8) fire again for one event.
        """
        (body,) = {sent["body"] for sent in self.messages if sent["subject"] == subject}
        return body


class _Handler(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        """Store one message."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.messages.append(json.loads(body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Log nothing."""


@contextmanager
def webhook(status: int = 200) -> Iterator[Webhook]:
    """Listen on a free port until the block ends."""
    with Webhook(status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
