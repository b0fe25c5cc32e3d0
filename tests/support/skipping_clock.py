"""A clock that runs in real time and skips what is slept."""

import threading
import time


class SkippingClock:
    """The real time plus all that was slept; `slept` are those seconds.

    With it a client waits for a server in real time, and for pauses and retries not at all.
    """

    def __init__(self) -> None:
        self.slept = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time in seconds."""
        return time.monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """Skip some seconds."""
        with self._lock:
            self.slept += seconds
