"""Run `acsync` commands and other programs as processes, wait for them and end them."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import httpx
import pytest

from tests.support.warm import Command

ACSYNC = [sys.executable, "-m", "acsync"]
TIMEOUT_SECONDS = 120
PATIENCE_SECONDS = 120
SECRET = "cr0n-s3cret"
BEARER = {"authorization": f"Bearer {SECRET}"}
POSTGRES_FOLDERS = Path("/usr/lib/postgresql")


def acsync(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, with this process's environment and these changes."""
    return wait(start(*arguments, **environment))


def start(*arguments: str, **environment: str) -> Command:
    """Start a command without the seconds of its imports."""
    return Command(arguments, _environment(environment))


def start_anew(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a command as users do, for tests of what it does before and after its work."""
    return subprocess.Popen(
        [*ACSYNC, *arguments],
        env=_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _environment(changes: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", **changes}


def wait(process: "subprocess.Popen[str] | Command") -> "subprocess.CompletedProcess[str]":
    """Wait for a command and return its status and output; kill it if it hangs."""
    try:
        output = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate(timeout=TIMEOUT_SECONDS)
    return subprocess.CompletedProcess(process.args, process.wait(TIMEOUT_SECONDS), *output)


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[tuple[httpx.Client, Command]]:
    """Start the service on a free port, yield a client and the process, and stop it politely."""
    process = start("serve", "--port=0", *arguments, **{"CRON_SECRET": SECRET, **environment})
    try:
        line = process.stdout.readline()
        url = re.search(r"http://\S+?(?=\. Ctrl)", line)
        if url is None:
            raise AssertionError(line + wait(process).stderr)
        with httpx.Client(base_url=url[0], timeout=120) as client:
            yield client, process
    finally:
        process.terminate()
        wait(process)


def wait_for(what: str, seen: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Call `seen` until it returns something true, and return that."""
    until = time.monotonic() + seconds
    while not (result := seen()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.2)
    return result


@contextmanager
def ended(process: "subprocess.Popen[bytes]", within_seconds: float) -> Iterator[None]:
    """Terminate a process when the block ends, and kill it if it does not stop in time."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=within_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def require_program(name: str, package: str) -> Path:
    """Return the path of a program; skip the drill if it cannot be installed."""
    program = _find(name)
    apt = shutil.which("apt-get")
    if program is None and apt and os.geteuid() == 0:
        _install(apt, package)
        program = _find(name)
    if program is None:
        pytest.skip(f"It needs {name}. Install it as root with: apt-get install {package}")
    return program


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
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run([apt, "-q", *arguments], env=quiet, capture_output=True, check=False)
