"""Describe calls and their answers, limit the rate of calls, and count them."""

import math
import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import orjson

from acsync.datasets import Record

RateWindow: TypeAlias = Literal["sliding", "fixed"]


@dataclass(frozen=True)
class Call:
    """One accepted call; `number` counts them from 1, and `path` starts after `/api/3/`."""

    path: str
    params: Mapping[str, str]
    number: int
    page_cap: int = 100

    @property
    def offset(self) -> int:
        """The requested offset, or 0."""
        return self.whole_number("offset") or 0

    def limit(self, default: int = 20) -> int:
        """Return the requested number of rows, silently clamped to the page cap."""
        return min(self.whole_number("limit") or default, self.page_cap)

    def includes(self, relation: str) -> bool:
        """Return whether `include` names the relation."""
        return relation in self.params.get("include", "").split(",")

    def includes_any(self, relation: str) -> bool:
        """Return whether `include` names the relation or one nested in it."""
        names = self.params.get("include", "").split(",")
        return relation in {name.partition(".")[0] for name in names}

    def without(self, *names: str) -> "Call":
        """Return the call without these parameters; `orders` also removes `orders[id]`."""
        kept = {key: text for key, text in self.params.items() if key.split("[")[0] not in names}
        return replace(self, params=kept)

    def whole_number(self, name: str) -> int | None:
        """Return a parameter if it is a whole number, or None."""
        text = self.params.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else None


@dataclass(frozen=True)
class Answer:
    """An answer: `data` is sent as JSON, `body` as it is.

    `byte_seconds` is the pause after each byte of the body; at 0 it is sent in one piece.
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
        """Return the body as bytes."""
        return self.body if self.data is None else orjson.dumps(self.data)


class RateGate:
    """Limit accepted calls in any sliding second, or in each second of the clock."""

    def __init__(self, calls_per_second: float | None, window: RateWindow = "sliding") -> None:
        # At less than one call per second, the window is longer than a second.
        self.most = max(1, int(calls_per_second or 1))
        self._window_seconds = max(1.0, 1 / calls_per_second) if calls_per_second else 0.0
        self._window = window
        self._accepted: deque[float] = deque(maxlen=self.most)

    def admit(self, now: float) -> bool:
        """Accept the call unless the window is full."""
        begin = now - self._window_seconds
        if self._window == "fixed" and self._window_seconds:
            # A call at the exact start of the second belongs to it, so begin just before.
            begin = math.nextafter(now // self._window_seconds * self._window_seconds, -1)
        if len(self._accepted) == self.most and self._accepted[0] > begin:
            return False
        self._accepted.append(now)
        return True


@dataclass(frozen=True)
class LoggedCall:
    """When a call arrived (monotonic seconds) and the status of its answer."""

    at: float
    status: int


class Statistics:
    """Counts of calls since the account started; `calls` are those that were accepted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls = 0
        self.refused = 0
        self.by_path: Counter[str] = Counter()
        self.log: deque[LoggedCall] = deque(maxlen=20_000)

    def accept(self, path: str) -> int:
        """Count an accepted call and return its number."""
        with self._lock:
            self.calls += 1
            self.by_path[path] += 1
            return self.calls

    def record(self, at: float, status: int) -> None:
        """Note how a call was answered."""
        with self._lock:
            self.log.append(LoggedCall(at, status))
