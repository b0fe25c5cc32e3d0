"""Run `acsync serve` as a process, and call it over HTTP."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support import commands

SECRET = "cr0n-s3cret"
BEARER = {"authorization": f"Bearer {SECRET}"}


@contextmanager
def served(
    *words: str, **environment: str
) -> Iterator[tuple[httpx.Client, "subprocess.Popen[str]"]]:
    """Start the service on a free port, yield a client and the process, and stop it politely."""
    process = commands.start("serve", "--port=0", *words, **{"CRON_SECRET": SECRET, **environment})
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://\S+?(?=\. Ctrl)", said)
        if found is None:
            raise AssertionError(said + commands.wait(process).stderr)
        with httpx.Client(base_url=found[0], timeout=120) as client:
            yield client, process
    finally:
        process.terminate()
        commands.wait(process)
