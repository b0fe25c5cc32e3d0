"""Describe one call and its answer, and remember the calls that were made."""

import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import orjson

from acsync.models import Record

LOG_LENGTH = 20_000


@dataclass(frozen=True)
class Call:
    """One accepted call; `number` counts them from 1, `path` is what follows `/api/3/`."""

    path: str
    params: Mapping[str, str]
    number: int
    page_cap: int = 100

    def _whole(self, name: str) -> int | None:
        text = self.params.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else None

    @property
    def offset(self) -> int:
        """The offset asked for, 0 without one."""
        return self._whole("offset") or 0

    @property
    def cursor(self) -> int | None:
        """What `id_greater` asks for."""
        return self._whole("id_greater")

    @property
    def id_less(self) -> int | None:
        """What `id_less` asks for."""
        return self._whole("id_less")

    def limit(self, default: int) -> int:
        """The rows to give: what is asked for, silently clamped to the page cap."""
        return min(self._whole("limit") or default, self.page_cap)

    def without(self, *names: str) -> "Call":
        """Leave parameters out, `orders` also as `orders[id]`."""
        kept = {key: text for key, text in self.params.items() if key.split("[")[0] not in names}
        return replace(self, params=kept)


@dataclass(frozen=True)
class Answer:
    """What goes back: `data` as JSON, or `body` as it is, how slowly, and how the sending ends.

    `byte_seconds` is the pause after each byte of the body, 0 to send it in one piece.
    """

    status: int = 200
    data: Record | None = None
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay_seconds: float = 0.0
    byte_seconds: float = 0.0
    ending: Literal["whole", "reset"] = "whole"

    def content(self) -> bytes:
        """Give the body as bytes."""
        return self.body if self.data is None else orjson.dumps(self.data)


@dataclass(frozen=True)
class LoggedCall:
    """A call that arrived at `at` (seconds, monotonic) and what it was answered with."""

    at: float
    path: str
    params: Mapping[str, str]
    status: int


class Statistics:
    """Counts of calls since the account began; `calls` were accepted, `refused` were not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = 0
        self.refused = 0
        self.unauthorized = 0
        self.by_path: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.log: deque[LoggedCall] = deque(maxlen=LOG_LENGTH)

    def accept(self, path: str) -> int:
        """Count an accepted call and give its number."""
        with self._lock:
            self.calls += 1
            self.by_path[path] += 1
            return self.calls

    def record(self, at: float, path: str, params: Mapping[str, str], status: int) -> None:
        """Remember how a call was answered."""
        with self._lock:
            self.by_status[status] += 1
            self.log.append(LoggedCall(at, path, params, status))

    def most_calls_in_a_second(self) -> int:
        """Give the most calls, refused ones too, that arrived in any sliding second."""
        with self._lock:
            times = sorted(call.at for call in self.log)
        most = first = 0
        for place, at in enumerate(times):
            while at - times[first] >= 1:
                first += 1
            most = max(most, place - first + 1)
        return most


class RateGate:
    """Count accepted calls in any sliding second; refused ones do not count."""

    def __init__(self, calls_per_second: float | None) -> None:
        self.calls_per_second = calls_per_second
        self._accepted: deque[float] = deque()

    @property
    def most(self) -> int:
        """Calls in one window; the window of a rate below one a second is longer."""
        return max(1, int(self.calls_per_second or 1))

    def admit(self, now: float) -> bool:
        """Accept the call unless the window is full."""
        if self.calls_per_second is None:
            return True
        window_seconds = max(1.0, 1 / self.calls_per_second)
        while self._accepted and self._accepted[0] <= now - window_seconds:
            self._accepted.popleft()
        if len(self._accepted) >= self.most:
            return False
        self._accepted.append(now)
        return True


def now_seconds() -> float:
    """Give the clock of the log."""
    return time.monotonic()
