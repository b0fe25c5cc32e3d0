"""Install each tool from the package registry into a virtual environment of its own."""

import subprocess
import sys
from pathlib import Path

from tests.benchmarks.report import FOLDER

REQUIREMENTS = Path(__file__).parent / "requirements"


def install(name: str) -> Path:
    """Return the folder of programs of `requirements/NAME.txt`; install it where it is missing.

    Raises CalledProcessError, with what pip said.
    """
    wanted, venv = (REQUIREMENTS / f"{name}.txt").read_text(), FOLDER / "venvs" / name
    programs, stamp = venv / "bin", venv / "installed.txt"
    if stamp.is_file() and stamp.read_text() == wanted:
        return programs
    pip = [str(programs / "python"), "-m", "pip", "install", "--quiet", *wanted.split()]
    for command in ([sys.executable, "-m", "venv", "--clear", str(venv)], pip):
        subprocess.run(command, check=True, capture_output=True, text=True)
    stamp.write_text(wanted)
    return programs


def version(name: str) -> str:
    """Return what `requirements/NAME.txt` pins, as `package 1.2.3`."""
    return (REQUIREMENTS / f"{name}.txt").read_text().strip().replace("==", " ")
