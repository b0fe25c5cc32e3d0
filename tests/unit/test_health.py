"""The health check of the image knows every command that keeps running."""

import pytest

from acsync.web.health import find_address
from tests.support.image import command_of

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
