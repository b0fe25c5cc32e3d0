"""The health check of the image knows every command that keeps running."""

import subprocess
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

from acsync.web.health import find_address, main
from tests.support.commands import wait_for
from tests.support.docker import command_of
from tests.support.prefect_server import free_port

WORKER = [*command_of("ENTRYPOINT"), *command_of("CMD")]
SERVE = ["tini", "--", "acsync", "serve", "--host", "0.0.0.0"]  # noqa: S104


@pytest.mark.parametrize(
    ("command", "environment", "address"),
    [
        (WORKER, {}, "http://127.0.0.1:8080/health"),
        (WORKER, {"PREFECT_WORKER_WEBSERVER_PORT": "9000"}, "http://127.0.0.1:9000/health"),
        (SERVE, {}, "http://127.0.0.1:8000/static/icon.svg"),
        ([*SERVE, "--port", "18201"], {}, "http://127.0.0.1:18201/static/icon.svg"),
        ([*SERVE, "--port=18201"], {}, "http://127.0.0.1:18201/static/icon.svg"),
        (["acsync", "serve", "--host=10.0.0.5"], {}, "http://10.0.0.5:8000/static/icon.svg"),
        (["acsync", "serve", "--host=::1"], {}, "http://[::1]:8000/static/icon.svg"),
        (["prefect", "server", "start"], {}, "http://127.0.0.1:4200/api/health"),
        (
            ["prefect", "server", "start"],
            {"PREFECT_SERVER_API_HOST": "10.0.0.5", "PREFECT_SERVER_API_PORT": "4300"},
            "http://10.0.0.5:4300/api/health",
        ),
        (["prefect", "worker", "start", "--pool", "acsync"], {}, None),
        (["tini", "--", "prefect", "flow-run", "execute"], {}, None),
        (["sh", "-c", "acsync migrate && acsync deploy"], {}, None),
    ],
)
def test_each_command_is_asked_at_its_address(
    command: list[str], environment: dict[str, str], address: str | None
) -> None:
    """An engine calls a container unhealthy if the address is wrong."""
    assert find_address(command, environment) == address


@pytest.fixture
def container(port: int) -> Iterator[str]:
    """Run a process with the command line of a service, and yield its id."""
    command = ["sh", "-c", "read forever", "acsync", "serve", "--port", str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        wait_for("its command line", Path(f"/proc/{process.pid}/cmdline").read_bytes)
        yield str(process.pid)
        process.kill()


@pytest.fixture
def port() -> int:
    """Return a port on which nothing listens."""
    return free_port()


def test_a_service_is_healthy_if_it_answers_with_success(
    container: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the container's environment is not asked for its own address."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    silent = main(container)

    with HTTPServer(("127.0.0.1", port), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        statuses = [main(container) for Answer.status in (200, 503)]
        server.shutdown()

    assert (silent, statuses) == (1, [0, 1])


class Answer(SimpleHTTPRequestHandler):
    """Answers every request with `status`."""

    status = 200

    def do_GET(self) -> None:
        """Send no body."""
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""
