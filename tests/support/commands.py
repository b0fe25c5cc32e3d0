"""Run `acsync` in processes of its own, to be waited for, signalled or raced."""

import os
import subprocess
import sys

ACSYNC = [sys.executable, "-m", "acsync"]
TIMEOUT_SECONDS = 120


def start(*words: str) -> "subprocess.Popen[str]":
    """Start a command with this process's environment."""
    return subprocess.Popen(
        [*ACSYNC, *words],
        env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    """Wait for a command and give its status and what it said; one that hangs is killed."""
    try:
        said = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *said)
