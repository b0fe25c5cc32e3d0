"""The folder tree is the architecture, and these contracts allow imports one way only."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_imports_go_down_and_each_room_keeps_its_libraries() -> None:
    """The contracts are in pyproject.toml.

    The linter runs as a process, because it silences loggers.
    """
    linter = Path(sys.executable).with_name("lint-imports")

    linted = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert "Contracts: 5 kept, 0 broken." in linted.stdout


def test_a_run_of_a_worker_imports_no_server() -> None:
    """Prefect's server and FastAPI would cost every sync two seconds and 60 MB."""
    script = "import sys, flows.sync_activecampaign; print(*sys.modules)"

    imported = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert {"fastapi", "prefect.server.api", "pandas"}.isdisjoint(imported.stdout.split())
