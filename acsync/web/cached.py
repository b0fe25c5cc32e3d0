"""Ask the database a few times a second at most, however many requests come."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from anyio import to_thread

T = TypeVar("T")


class Cached(Generic[T]):
    """What `read` returned, for so many seconds; requests that come meanwhile share one reading."""

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        self._read, self._seconds = read, seconds
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> T:
        """Return the value, read anew where it is too old; raises what `read` raises."""
        if time.monotonic() >= self._until:
            async with self._lock:
                if time.monotonic() >= self._until:
                    self._value = await to_thread.run_sync(self._read)
                    self._until = time.monotonic() + self._seconds
        return self._value
