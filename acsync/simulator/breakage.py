"""Break the account on purpose: a fault bends a call before, or its answer after, it is served."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TypeAlias

from acsync.simulator.calls import Answer, Call

When: TypeAlias = Callable[[Call], bool]


def always(_: Call) -> bool:
    """Accept every call."""
    return True


def on_path(*paths: str) -> When:
    """Accept calls of these collections."""
    return lambda call: call.path in paths


def on_numbers(*numbers: int) -> When:
    """Accept the calls with these numbers, counted from 1 over the whole account."""
    return lambda call: call.number in numbers


def on_offset(path: str, offset: int) -> When:
    """Accept the pages of a collection that hold the row at this offset."""
    return lambda call: call.path == path and 0 <= offset - call.offset < call.limit(20)


@dataclass(frozen=True, eq=False)
class Fault:
    """One thing that goes wrong at calls that `when` accepts.

    `ask` changes what is asked, `reply` what is answered. `times` limits how often (None: no
    end), `share` is the chance at each call, drawn from the account's seed.
    """

    name: str
    when: When = always
    times: int | None = None
    share: float = 1.0
    ask: Callable[[Call], Call] | None = None
    reply: Callable[[Call, Answer], Answer] | None = None

    def only(self, when: When = always, times: int | None = None, share: float = 1.0) -> "Fault":
        """Give the same fault for some calls: `cut_off().only(on_path("deals"), times=2)`."""
        return replace(self, when=when, times=times, share=share)


class Faults:
    """The faults of one account; they may be added and cleared while it is served."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = Random(seed)  # noqa: S311  # repeatable chance
        self._left: dict[Fault, int | None] = {}
        self.hits: dict[str, int] = {}

    def add(self, *faults: Fault) -> None:
        """Let these go wrong from the next call on."""
        with self._lock:
            self._left |= {fault: fault.times for fault in faults}

    def clear(self) -> None:
        """Let everything go well again; `hits` stays."""
        with self._lock:
            self._left.clear()

    def strike(self, call: Call) -> list[Fault]:
        """Give the faults of this call, and count them by name in `hits`."""
        with self._lock:
            struck = [
                fault for fault, left in self._left.items() if self._strikes(fault, left, call)
            ]
            for fault in struck:
                left = self._left[fault]
                self._left[fault] = None if left is None else left - 1
                self.hits[fault.name] = self.hits.get(fault.name, 0) + 1
            return struck

    def _strikes(self, fault: Fault, left: int | None, call: Call) -> bool:
        return left != 0 and fault.when(call) and self._random.random() < fault.share
