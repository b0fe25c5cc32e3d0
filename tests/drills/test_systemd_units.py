"""systemd accepts the units of docs/production.md."""

import subprocess
from pathlib import Path

import pytest

from tests.support.commands import require_program
from tests.support.documents import ROOT, code_blocks

INSTALLED = "/opt/acsync/bin"
UNITS = {unit.split("\n")[0].rpartition("/")[2]: unit for unit in code_blocks("ini")}


@pytest.mark.parametrize("name", UNITS)
def test_systemd_accepts_the_unit(name: str, tmp_path: Path) -> None:
    """An unknown setting or a program that does not exist is reported, not run."""
    program = require_program("systemd-analyze", "systemd")
    unit = tmp_path / name
    unit.write_text(UNITS[name].replace(INSTALLED, str(ROOT / ".venv" / "bin")))

    done = subprocess.run(
        [program, "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_there_is_a_unit_for_each_service() -> None:
    """A drill of units that were not found would pass."""
    assert list(UNITS) == [
        "acsync-server.service",
        "acsync-setup.service",
        "acsync-worker.service",
        "acsync-dashboard.service",
    ]
