"""Install each tool into a virtual environment, because their requirements conflict."""

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.report import FOLDER

PINS = {
    "dlt": "dlt[postgres]==1.31.0",
    "tap": "tap-activecampaign==1.3.1",
    "target": "meltanolabs-target-postgres==0.8.1",
    "airbyte": "airbyte==0.71.3",
    "airbyte-source": "airbyte-source-activecampaign==0.1.11",
}


def install(name: str) -> Path:
    """Return the folder of a tool's programs; install the tool first if it is missing.

    Raises CalledProcessError with the messages of pip.
    """
    venv = FOLDER / "venvs" / name
    programs, stamp = venv / "bin", venv / "installed.txt"
    if stamp.is_file() and stamp.read_text() == PINS[name]:
        return programs
    pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", PINS[name]]
    for command in ([sys.executable, "-m", "venv", "--clear", str(venv)], pip):
        subprocess.run(command, check=True, capture_output=True, text=True)
    stamp.write_text(PINS[name])
    return programs
