"""Run `acsync` commands as processes."""

import os
import subprocess
import sys

ACSYNC = [sys.executable, "-m", "acsync"]
TIMEOUT_SECONDS = 120


def acsync(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, with this process's environment and these changes."""
    return wait(start(*words, **environment))


def start(*words: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a command, with this process's environment and these changes."""
    return subprocess.Popen(
        [*ACSYNC, *words],
        env={**os.environ, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    """Wait for a command and return its status and output; kill it if it hangs."""
    try:
        said = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *said)
