"""Ask the database a few times per second at most, for any number of requests."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from anyio import to_thread

from acsync.errors import AcsyncError

T = TypeVar("T")

FAILURE_SECONDS = 1.0


class Cached(Generic[T]):
    """The result of `read`, kept for some seconds and shared by all requests.

    A failure is kept for a second at most, so that requests do not wait in turn for a database that
    is down.
    """

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        self._read, self._seconds = read, seconds
        self._until = 0.0
        self._error: AcsyncError | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> T:
        """Return the value, and read it again if it is too old; raises what `read` raises."""
        if time.monotonic() >= self._until:
            async with self._lock:
                if time.monotonic() >= self._until:
                    await self._refresh()
        if self._error:
            raise self._error
        return self._value

    async def _refresh(self) -> None:
        seconds = self._seconds
        try:
            self._value, self._error = await to_thread.run_sync(self._read), None
        except AcsyncError as error:
            self._error, seconds = error, min(seconds, FAILURE_SECONDS)
        self._until = time.monotonic() + seconds
