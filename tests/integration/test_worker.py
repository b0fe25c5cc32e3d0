"""`acsync worker` runs syncs and writes logs that collectors can read."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from acsync.simulator.account_options import AccountOptions
from flows.deployment import WORK_POOL
from tests.support.commands import acsync, ended, start_anew
from tests.support.fixtures import Sync
from tests.support.prefect_server import deploy, run_by_hand


@pytest.mark.parametrize("options", [AccountOptions(contacts=60, deals=40, rate_limit=None)])
def test_every_log_line_of_a_worker_is_json(
    api: httpx.Client,  # noqa: ARG001  # sets the URL of Prefect's API
    sync: Sync,  # noqa: ARG001  # sets the environment of the worker
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A collector drops other lines, and people search for one set of keys."""
    deploy()
    monkeypatch.setenv("ACSYNC_LOG_FORMAT", "json")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "INFO")
    worker = start_anew("worker", PREFECT_HOME=str(tmp_path), PREFECT_WORKER_QUERY_SECONDS="1")
    with ended(worker, within_seconds=30):  # type: ignore[arg-type]  # of text
        ending = run_by_hand()
        worker.terminate()
        stdout, stderr = worker.communicate(timeout=60)

    lines = [json.loads(line) for line in stderr.splitlines()]
    assert ending == "Completed"
    assert worker.returncode == 0
    assert stdout == ""
    assert all({"timestamp", "level", "logger", "message"} <= line.keys() for line in lines)
    messages = [line["message"] for line in lines]
    assert any(f"for work pool '{WORK_POOL}'" in message for message in messages)
    assert "contacts: about 60 records to copy in" in " ".join(messages)


def test_a_wrong_log_format_is_one_line() -> None:
    """The worker is started by service managers, and nobody reads tracebacks there."""
    command = [sys.executable, "-m", "flows.worker", "--pool", WORK_POOL]
    for arguments in (command, [sys.executable, "-m", "acsync", "worker"]):
        done = subprocess.run(
            arguments,
            env={"ACSYNC_LOG_FORMAT": "yaml"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "ACSYNC_LOG_FORMAT" in done.stderr


def test_the_help_of_the_worker_needs_no_prefect_server() -> None:
    """Somebody who asks for it has often not set up a server yet."""
    done = acsync("worker", "--help")

    assert done.returncode == 0, done.stderr
    assert "prefect worker start" in done.stdout
