"""`acsync up` starts everything, and Ctrl-C stops all of it."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from acsync.local.embedded_postgres import stop_embedded
from tests.support import commands
from tests.support.commands import wait_for
from tests.support.prefect_server import QUIET, free_port

SMALL = ("--contacts=60", "--deals=40", "--rate=3")
"""Some 15 calls, so that the second sync is still under way when it is ended."""

ACCOUNT_VARIABLES = ("AC_API_URL", "AC_API_KEY", "PREFECT_API_URL", "POSTGRES_URL", "DATABASE_URL")


Up = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give commands their own folder, no credentials, and a worker that polls often."""
    for name in ACCOUNT_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**QUIET, "PREFECT_WORKER_QUERY_SECONDS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ACSYNC_DATA_DIR", str(tmp_path))
    yield tmp_path
    if is_postgres_up(tmp_path):
        stop_embedded(tmp_path / "simulated")


@pytest.fixture
def up(data_dir: Path) -> Iterator[Up]:  # noqa: ARG001  # its variables
    """Start the command, on a free port by default; stop it if the test did not."""
    started = []

    def start(*options: str) -> "subprocess.Popen[str]":
        has_port = any(option.startswith("--port") for option in options)
        port = [] if has_port else [f"--port={free_port()}"]
        started.append(commands.start_anew("up", *SMALL, *port, *options))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            commands.wait(process)


def family_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return all processes that it started, even if they left its session."""
    return psutil.Process(process.pid).children(recursive=True)


def status() -> dict[str, Any]:
    """Ask for the status in a new process, as a user does."""
    payload: dict[str, Any] = json.loads(commands.acsync("status", "--json").stdout)
    return payload


def is_postgres_up(data_dir: Path) -> bool:
    """Return whether Postgres runs; it removes its file when it ends."""
    return (data_dir / "simulated" / "postgres" / "postmaster.pid").exists()


def assert_gone(family: list[psutil.Process]) -> None:
    """Wait until the processes are gone; a killed one may still be a zombie."""
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [process.cmdline() for process in alive] == []


def test_everything_comes_up_syncs_and_ends_on_ctrl_c(
    up: Up, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes in the second sync, whose log row is closed. The first one was complete."""
    port = free_port()
    process = up(f"--port={port}")
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    # The first address in the output.
    dashboard = next(match[0] for line in lines if (match := re.search(r"http://\S+", line)))
    complete = next(line for line in lines if line.startswith("sync-"))
    shown = httpx.get(dashboard).text
    assert "60 records" in shown
    assert "The next scheduled sync is due at" in shown
    assert re.fullmatch(r"sync-\d+: complete after [\d.]+ s; 60 contacts; 40 deals\n", complete)

    user, password = (data_dir / "simulated" / "prefect.password").read_text().strip().split(":")
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, auth=(user, password)) as client:
        page = client.get("/", follow_redirects=True)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert client.get("/ui-settings").json()["api_url"] == f"http://127.0.0.1:{port}/api"
        deployment = client.get("/api/deployments/name/sync-activecampaign/every-15-minutes").json()
        assert (deployment["work_pool_name"], deployment["paused"]) == ("acsync", False)
        server = client.get("/api/admin/settings").json()["server"]
        vacuum = server["services"]["db_vacuum"]
        assert sorted(vacuum["enabled"]) == ["events", "flow_runs"]
        assert vacuum["retention_period"] == "P7D"
        assert server["events"]["retention_period"] == "P1D"
        over = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}}
        # The log row is closed a moment before Prefect knows.
        runs = wait_for(
            "the end of the run",
            lambda: client.post("/api/flow_runs/filter", json=over).json(),
        )
        # On a slow machine, the schedule can have started a second one.
        ends = {(run["state_name"], run["deployment_id"]) for run in runs}
        assert ends == {("Completed", deployment["id"])}
        assert_locked(url, data_dir / "simulated")
        monkeypatch.setenv("ACSYNC_DATA_DIR", str(data_dir / "simulated"))
        wait_for("a sync that runs", partial(next, syncing(client, deployment["id"])))
    family = family_of(process)
    process.send_signal(signal.SIGINT)
    ended = commands.wait(process)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert_gone(family)
    assert not is_postgres_up(data_dir)
    syncs = status()["recentSyncs"]
    assert [sync["overall_success"] for sync in syncs[:2]] == [False, True]
    assert "was stopped" in syncs[0]["contacts_error"]


def syncing(client: httpx.Client, deployment_id: str) -> Iterator[bool]:
    """Start runs, one after the other, and yield whether a sync runs; each may be missed."""
    while True:
        created = client.post(f"/api/deployments/{deployment_id}/create_flow_run", json={}).json()
        run = f"/api/flow_runs/{created['id']}"
        while client.get(run).json()["state_type"] in ("SCHEDULED", "PENDING", "RUNNING"):
            yield status()["running"]


def assert_locked(url: str, data_dir: Path) -> None:
    """Check that other pages in the browser and other users of the machine are kept out."""
    everything = {"include_secrets": True}
    page = {"Origin": "https://evil.example"}
    attack = httpx.post(f"{url}/api/block_documents/filter", json=everything, headers=page)
    assert attack.status_code == 401
    preflight = {**page, "Access-Control-Request-Method": "POST"}
    allowed = httpx.options(f"{url}/api/block_documents/filter", headers=preflight)
    assert "https://evil.example" not in allowed.headers.values()
    assert "*" not in allowed.headers.get("access-control-allow-origin", "")
    for folder in (data_dir, data_dir / "logs", data_dir / "prefect", data_dir / "postgres"):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    files = [data_dir / "prefect.password", *(data_dir / "logs").iterdir()]
    files += [file for file in (data_dir / "prefect").iterdir() if file.is_file()]
    assert "prefect.db" in [file.name for file in files]
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_a_frozen_program_is_killed_and_a_second_ctrl_c_changes_nothing(up: Up) -> None:
    """People press Ctrl-C twice. Everything still ends in order, within seconds."""
    process = up()
    family = wait_for("the server", lambda: servers(process) and family_of(process))
    servers(process)[0].suspend()
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert next(line for line in iter(process.stdout.readline, "") if "Stopping" in line)
    process.send_signal(signal.SIGINT)

    assert commands.wait(process).returncode == 0
    assert_gone(family)


def servers(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the Prefect servers among the processes of a command."""
    return [child for child in family_of(process) if "server" in child.cmdline()]


def test_a_dead_child_stops_everything_and_names_its_log(
    up: Up, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server dies, because it cannot open its database."""
    url = f"sqlite+aiosqlite:///{data_dir}/nowhere/prefect.db"
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", url)

    ended = commands.wait(up())

    log = data_dir / "simulated" / "logs" / "prefect-server.log"
    assert ended.returncode == 1
    assert ended.stderr == (
        "The Prefect server exited with status 3, so everything was stopped. "
        f"See the end of {log}, then run again: acsync up\n"
    )
    assert "unable to open database file" in log.read_text()
    assert not is_postgres_up(data_dir)


def test_problems_are_reported_before_anything_starts(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port in use, half an account, and a worker that would take the runs of others."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        taken = commands.acsync("up", *SMALL, f"--port={port}")
        for name in ("ACSYNC_ALERT_URL", "ACSYNC_LOG_FORMAT", "CRON_SECRET", "ACSYNC_MAX_SHRINK"):
            monkeypatch.setenv(name, "\u00fc://h")
        wrong = commands.acsync("up", *SMALL, f"--port={port}", f"--web-port={port}")
        monkeypatch.setenv("ACSYNC_ALERT_URL", "zz://h")
        unknown = commands.acsync("up", *SMALL, f"--port={free_port()}")
    for name in ("ACSYNC_ALERT_URL", "ACSYNC_LOG_FORMAT", "CRON_SECRET", "ACSYNC_MAX_SHRINK"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    hijacking = commands.acsync("up", *SMALL, f"--port={free_port()}")
    monkeypatch.setenv("AC_API_KEY", "key")
    half = commands.acsync("up", *SMALL, f"--port={free_port()}")

    assert [done.returncode for done in (taken, hijacking, half)] == [2, 2, 2]
    assert taken.stderr == (
        f"acsync cannot start: Port {port} of 127.0.0.1 for the Prefect server is taken. Stop "
        "what listens there, perhaps another acsync up, or use another port: acsync up "
        "--port 4300\n"
    )
    assert sorted(re.findall(r"(?m)^- (\S+( \d+)?)", wrong.stderr)) == [
        ("ACSYNC_ALERT_URL", ""),
        ("ACSYNC_LOG_FORMAT", ""),
        ("ACSYNC_MAX_SHRINK", ""),
        ("CRON_SECRET", ""),
        (f"Port {port}", f" {port}"),
        (f"Port {port}", f" {port}"),
    ]
    assert "ACSYNC_ALERT_URL is neither a webhook" in unknown.stderr
    assert "ACSYNC_LOG_FORMAT" in unknown.stderr
    assert "PREFECT_API_URL is set, but neither AC_API_URL nor AC_API_KEY" in hijacking.stderr
    assert half.stderr == (
        "acsync cannot start: AC_API_URL is not set: copy it from Settings, Developer in "
        "ActiveCampaign.\n"
    )
    assert list(data_dir.iterdir()) == []


STARTER = """
import os, sys, time
from pathlib import Path
from acsync.local.processes import Processes, Program
processes = Processes(Path(sys.argv[1]), os.environ)
processes.start(Program("sleeper", (sys.executable, "-c", "import time; time.sleep(600)")))
print("started", flush=True)
time.sleep(600)
"""


INTERRUPTED = """
import os, signal, sys
from contextlib import suppress
from pathlib import Path
from pydantic import BaseModel, model_serializer
from acsync.local.processes import Processes, Stopped

class Interrupted(BaseModel):
    @model_serializer
    def serialize(self):
        exec("os.kill(os.getpid(), signal.SIGINT)", {"os": os, "signal": signal})

processes = Processes(Path(sys.argv[1]), os.environ)
processes.stop_on_signals()
try:
    Interrupted().model_dump()
except Exception as error:
    print(type(error).__name__, processes.is_stopped)
with suppress(Stopped):
    processes.require_alive()
    print("not stopped")
"""


def test_libraries_cannot_swallow_ctrl_c(tmp_path: Path) -> None:
    """Pydantic turns what a signal raises into its own error; Python remembers it after `exec`."""
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, tmp_path], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "PydanticSerializationError True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends them")
def test_children_do_not_outlive_a_killed_parent(data_dir: Path) -> None:
    """After kill -9 the command cannot stop its children, so Linux does."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, data_dir], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    assert starter.stdout.readline() == "started\n"
    family = family_of(starter)
    assert len(family) == 1

    starter.kill()
    starter.communicate()

    assert_gone(family)


@pytest.mark.parametrize(
    "command", [("up", f"--port={free_port()}"), ("status",)], ids=["up", "status"]
)
def test_a_data_directory_that_is_none_is_one_sentence(
    command: tuple[str, ...], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path is a file, or a folder of another user."""
    (data_dir / "taken").touch()
    monkeypatch.setenv("ACSYNC_DATA_DIR", str(data_dir / "taken"))

    done = commands.acsync(*command)

    assert done.returncode in (1, 2)
    assert str(data_dir / "taken") in done.stderr
    assert "Traceback" not in done.stderr
