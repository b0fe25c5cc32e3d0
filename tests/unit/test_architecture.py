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
