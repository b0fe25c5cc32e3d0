"""Run `acsync` commands as processes: any command, the service, a deployment."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

ACSYNC = [sys.executable, "-m", "acsync"]
TIMEOUT_SECONDS = 120
SECRET = "cr0n-s3cret"
BEARER = {"authorization": f"Bearer {SECRET}"}


def acsync(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, with this process's environment and these changes."""
    return wait(start(*arguments, **environment))


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a command, with this process's environment and these changes."""
    return subprocess.Popen(
        [*ACSYNC, *arguments],
        env={**os.environ, "COLUMNS": "200", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait(process: "subprocess.Popen[str]") -> "subprocess.CompletedProcess[str]":
    """Wait for a command and return its status and output; kill it if it hangs."""
    try:
        output = process.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, *output)


@contextmanager
def served(
    *arguments: str, **environment: str
) -> Iterator[tuple[httpx.Client, "subprocess.Popen[str]"]]:
    """Start the service on a free port, yield a client and the process, and stop it politely."""
    process = start("serve", "--port=0", *arguments, **{"CRON_SECRET": SECRET, **environment})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = re.search(r"http://\S+?(?=\. Ctrl)", line)
        if url is None:
            raise AssertionError(line + wait(process).stderr)
        with httpx.Client(base_url=url[0], timeout=120) as client:
            yield client, process
    finally:
        process.terminate()
        wait(process)


def deploy(*arguments: str) -> str:
    """Run `acsync deploy`, which must succeed, and return its output."""
    done = wait(start("deploy", *arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout
