"""Run a real worker, as an operator starts it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.prefect_server import QUIET
from tests.support.processes import ended


@contextmanager
def prefect_worker(home: Path, api: str, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker of the pool `acsync`, with its log in `home/worker.log`."""
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "flows.worker", "--pool", "acsync", *words]
    own = {"PREFECT_API_URL": api, "PREFECT_HOME": str(home), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with (home / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            command, env={**os.environ, **QUIET, **own}, stdout=log, stderr=log
        )
        with ended(worker, within_seconds=30):
            yield worker
