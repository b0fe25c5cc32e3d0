"""Change an account while it is being read, as its users do."""

import threading
import time
from collections.abc import Callable
from random import Random
from types import TracebackType

from acsync.datasets import DATASETS, DatasetName
from acsync.simulator.account import Account


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
