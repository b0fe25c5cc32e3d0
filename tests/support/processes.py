"""Wait for what processes do, and end them as one would like to be ended."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_SECONDS = 120


def wait_for(what: str, seen: Callable[[], Any]) -> Any:
    """Wait until there is something to see, and give it."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := seen()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.2)
    return found


@contextmanager
def ended(process: "subprocess.Popen[bytes]", within_seconds: float) -> Iterator[None]:
    """Ask a process to end when the block does, and kill it where it does not."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=within_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
