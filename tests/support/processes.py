"""Wait for processes, and end them politely."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PATIENCE_SECONDS = 120


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
