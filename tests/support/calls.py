"""Interfere with an account while it is read: at an exact call, or all the time."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Literal, TypeAlias

from acsync.datasets import DATASETS, DatasetName
from acsync.simulator.account import Account
from acsync.simulator.fault_injection import Fault, When
from acsync.simulator.requests import Answer, Call, Statistics

Moment: TypeAlias = Literal["before", "after"]


def on_call(
    account: Account,
    when: When,
    action: Callable[[], object],
    *,
    moment: Moment = "after",
    times: int | None = 1,
) -> None:
    """Run `action` at the next `times` calls that `when` accepts; None means all of them.

    `after` means that the page is already read from the account but not yet sent. The caller gets
    the old page, and its next call sees the effect of the action.
    """

    def before(call: Call) -> Call:
        action()
        return call

    def after(_call: Call, answer: Answer) -> Answer:
        action()
        return answer

    if moment == "before":
        account.faults.add(Fault("hook", when, times, ask=before))
    else:
        account.faults.add(Fault("hook", when, times, reply=after))


def on_path(*paths: str) -> When:
    """Accept calls with these paths."""
    return lambda call: call.path in paths


def on_numbers(*numbers: int) -> When:
    """Accept the calls with these numbers, counted from 1 over the whole account."""
    return lambda call: call.number in numbers


def nth_call(when: When, number: int) -> When:
    """Accept the nth of the calls that `when` accepts."""
    seen = 0

    def accept(call: Call) -> bool:
        nonlocal seen
        seen += when(call)
        return when(call) and seen == number

    return accept


def most_calls_in_a_second(statistics: Statistics) -> int:
    """Return how many calls arrived in the busiest sliding second, with refused ones."""
    times = sorted(call.at for call in [*statistics.log])
    counts = (bisect_left(times, at + 1) - place for place, at in enumerate(times))
    return max(counts, default=0)


def in_metadata(call: Call) -> bool:
    """Accept the calls of a sync that reads fields, pipelines, stages and users."""
    return call.path == "users"


def in_copying(call: Call) -> bool:
    """Accept the calls of a sync that reads slices of contacts."""
    return call.path == "contacts" and "id_greater" in call.params


def for_newest_page(call: Call) -> bool:
    """Accept the calls for a newest page."""
    return call.params.get("orders[id]") == "DESC"


def is_by_date(call: Call) -> bool:
    """Accept the calls that ask what changed since a time."""
    return "filters[updated_after]" in call.params or "orders[mdate]" in call.params


class Churn:
    """Add, change and delete `per_second` records while the `with` block runs.

    `adds`, `changes` and `deletes` are the weights of each kind; `made` counts the changes.
    """

    def __init__(
        self,
        account: Account,
        per_second: float = 50,
        *,
        seed: int = 1,
        adds: int = 1,
        changes: int = 2,
        deletes: int = 1,
    ) -> None:
        self._account = account
        self._pause_seconds = 1 / per_second
        self._random = Random(seed)  # repeatable
        acts: list[tuple[str, Callable[[DatasetName, int], list[int]], int]] = [
            ("add", account.add, adds),
            ("change", account.change, changes),
            ("delete", account.delete, deletes),
        ]
        self._acts = [(name, act) for name, act, _ in acts]
        self._weights = [weight for *_, weight in acts]
        self.made = {name: 0 for name, *_ in acts}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="churn", daemon=True)

    def __enter__(self) -> "Churn":
        self.mark = self._account.mark()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def existed_throughout(self, dataset: DatasetName) -> set[int]:
        """Return the ids that existed when the churn began and still do."""
        return self._account.untouched_since(dataset, self.mark)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(due - time.monotonic(), 0)):
            due += self._pause_seconds
            name, act = self._random.choices(self._acts, self._weights)[0]
            act(self._random.choice([*DATASETS]), 1)
            self.made[name] += 1
