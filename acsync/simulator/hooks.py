"""Run an action at an exact call, so that a test can place a deletion between two pages."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from acsync.simulator.calls import Call

Predicate: TypeAlias = Callable[[Call], bool]
Moment: TypeAlias = Literal["before", "after"]


@dataclass
class _Hook:
    when: Predicate
    action: Callable[[], object]
    moment: Moment
    times: int | None


class Hooks:
    """Actions waiting for their call; `before` its page is cut out of the account, or `after`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hooks: list[_Hook] = []

    def add(
        self, when: Predicate, action: Callable[[], object], moment: Moment, times: int | None
    ) -> None:
        """Run `action` at the next `times` calls that `when` accepts; always with None."""
        with self._lock:
            self._hooks.append(_Hook(when, action, moment, times))

    def run(self, call: Call, moment: Moment) -> None:
        """Run what waits for this call."""
        for hook in self._due(call, moment):
            hook.action()

    def _due(self, call: Call, moment: Moment) -> list[_Hook]:
        with self._lock:
            due = [
                hook
                for hook in self._hooks
                if hook.moment == moment and hook.times != 0 and hook.when(call)
            ]
            for hook in due:
                hook.times = None if hook.times is None else hook.times - 1
            return due
