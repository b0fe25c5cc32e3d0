"""Clients that stall in a request delay nobody, and slow clients are served."""

import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from acsync.simulator.account import Account
from tests.support.commands import BEARER, SECRET, ended, wait_for

STALL_SECONDS = 3
DESCRIPTORS = 128
SERVE = f"""
import os, resource
from acsync.cli.app import QUIET_PREFECT
from acsync.settings import DATABASE, SERVICE, read_settings

os.environ.update(QUIET_PREFECT)  # before Prefect is imported
from acsync.cli.serve import listen
from acsync.logs import set_up_service
from acsync.store.database import open_database
from acsync.web.app import make_app
from acsync.web.server import Server

resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
settings = read_settings(DATABASE + SERVICE)
app = make_app(settings, open_database(settings), None)
set_up_service()
listener = listen("127.0.0.1", 0, "The service", "acsync serve")
print(f"127.0.0.1:{{listener.getsockname()[1]}}.", flush=True)
Server(app, {STALL_SECONDS}).run(sockets=[listener])
"""
HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@dataclass(frozen=True)
class Limited:
    """A service with few file descriptors."""

    port: int
    log: Path
    pid: int

    def connect(self) -> socket.socket:
        """Connect, even if the service is slow to accept."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@pytest.fixture
def limited(
    served_account: Account,  # noqa: ARG001  # the environment
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Limited]:
    """Serve with 128 file descriptors; the first line of its log is the address."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setenv("CRON_SECRET", SECRET)
    monkeypatch.setenv("AC_RATE_LIMIT", "1")  # so that the sync outlasts the test
    log = tmp_path / "service.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", SERVE], stdout=file, stderr=file)
        with ended(process, within_seconds=10):
            port = wait_for(
                "its address", lambda: re.search(r"127\.0\.0\.1:(\d+)\.", log.read_text())
            )
            yield Limited(int(port[1]), log, process.pid)


@pytest.mark.parametrize("sent", [b"", HALF, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + HALF])
def test_half_requests_give_their_descriptors_back(limited: Limited, sent: bytes) -> None:
    """More stalled requests than descriptors.

    Empty, half a head, and half a head after a request.
    """
    with ExitStack() as sockets:
        for _ in range(DESCRIPTORS + 12):
            sockets.enter_context(limited.connect()).sendall(sent)
        began = time.monotonic()
        health = httpx.get(f"http://127.0.0.1:{limited.port}/healthz", timeout=60)
        seconds = time.monotonic() - began

    assert health.status_code == 503  # nothing is published
    assert seconds < 10 * STALL_SECONDS
    assert limited.log.read_text().count("have to wait") <= 1
    assert limited.log.stat().st_size < 10_000, limited.log.read_text()[:6000]


def test_a_client_that_reads_nothing_is_cut_off(limited: Limited) -> None:
    """Its answers, of some 20 megabytes, fill the buffers of the kernel."""
    request = b"GET /queries HTTP/1.1\r\nHost: x\r\n\r\n"
    service = psutil.Process(limited.pid)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", limited.port))
        client.sendall(request * 1_000)
        wait_for("its connection", lambda: connections_of(service))
        began = time.monotonic()

        wait_for("the end of its connection", lambda: not connections_of(service))
    assert time.monotonic() - began > STALL_SECONDS / 2


def connections_of(process: psutil.Process) -> int:
    return sum(
        connection.status == psutil.CONN_ESTABLISHED
        for connection in process.net_connections("tcp4")
    )


def test_slow_but_honest_clients_are_served(limited: Limited) -> None:
    """A slow head, a connection that is used again, and a trigger that waits for its sync."""
    with limited.connect() as slow:
        for part in (HALF[:10], HALF[10:], b"\r\n"):
            slow.sendall(part)
            time.sleep(STALL_SECONDS / 4)
        assert slow.recv(100).startswith(b"HTTP/1.1 503")

    kept = http.client.HTTPConnection("127.0.0.1", limited.port, timeout=30)
    kept.connect()
    kept.auto_open = 0
    for _ in range(5):
        kept.request("GET", "/metrics")
        assert b"acsync" in kept.getresponse().read()
        time.sleep(STALL_SECONDS / 2)
    kept.close()

    trigger = f"http://127.0.0.1:{limited.port}/api/sync-activecampaign"
    with pytest.raises(httpx.ReadTimeout):  # the client closes the connection, not the service
        httpx.post(trigger, headers=BEARER, timeout=3 * STALL_SECONDS)
