"""Find a server program of Debian for a drill, or install its package."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import gettempdir

import pytest

POSTGRES_FOLDERS = Path("/usr/lib/postgresql")


def require_program(name: str, package: str) -> Path:
    """Return the path of a program; skip the drill if it cannot be installed."""
    found = _find(name)
    apt = shutil.which("apt-get")
    if found is None and apt and os.geteuid() == 0:
        _install(apt, package)
        found = _find(name)
    if found is None:
        pytest.skip(f"It needs {name}. Install it as root with: apt-get install {package}")
    return found


def _find(name: str) -> Path | None:
    """Look on the path, and in Debian's folder for each PostgreSQL version."""
    if on_path := shutil.which(name):
        return Path(on_path)
    return max(POSTGRES_FOLDERS.glob(f"*/bin/{name}"), default=None)


def _install(apt: str, package: str) -> None:
    """Install a package; test runs on one machine take turns, as apt-get does not wait."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with (Path(gettempdir()) / "acsync-tests-apt.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        for words in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run([apt, "-q", *words], env=quiet, capture_output=True, check=False)
