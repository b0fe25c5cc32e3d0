"""Change an account all the time, and remember what each record looked like and when."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from random import Random
from typing import Literal, TypeAlias

import orjson

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.expected import expected_record
from acsync.simulator.id_store import Part

# How a record changed. Changes of one part move no date of this account, and stubs have none.
Kind: TypeAlias = Literal["first", "new", "dated", "stub", "tags", "lists", "custom fields"]

PARTS: dict[Part, str] = {
    "tags": "tags",
    "custom fields": "customFields",
    "lists": "lists",
}

# Weights: each second brings as many new records as it takes.
ACTS: dict[DatasetName, dict[str, int]] = {
    "contacts": {"add": 8, "delete": 8, "change": 60, "tags": 8, "lists": 8, "custom fields": 8},
    "deals": {"add": 8, "delete": 8, "change": 76, "custom fields": 8},
}


@dataclass(frozen=True)
class State:
    """A record as it looked from a moment between `began` and `ended`, in seconds since 1970."""

    began: float
    ended: float
    kind: Kind
    date: str | None
    digest: bytes
    parts: tuple[bytes, ...]


@dataclass
class Journal:
    """All states of all records of an account, and when the others were deleted.

    Only `changing` changes the account. Hold `lock` to read the states.
    """

    account: Account
    lock: threading.Lock = field(default_factory=threading.Lock)
    states: dict[DatasetName, dict[int, list[State]]] = field(default_factory=dict)
    deleted: dict[DatasetName, dict[int, State]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in DATASETS:
            self.deleted[name] = {}
            ids = self.account.ids(name)
            self.states[name] = {
                record_id: [self._look(name, record_id, 0.0, "first")] for record_id in ids
            }

    @contextmanager
    def changing(self, per_second: float, seed: int = 1) -> Iterator[None]:
        """Change the account at this rate until the block ends."""
        stopping = threading.Event()
        thread = threading.Thread(target=self._change, args=(per_second, Random(seed), stopping))
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _change(self, per_second: float, random: Random, stopping: threading.Event) -> None:
        due = time.monotonic()
        while not stopping.wait(max(due - time.monotonic(), 0)):
            due += 1 / per_second
            name = random.choice([*DATASETS])
            (act,) = random.choices([*ACTS[name]], [*ACTS[name].values()])
            with self.lock:
                self._act(name, act)

    def _act(self, name: DatasetName, act: str) -> None:
        began = time.time()
        if act == "delete":
            for record_id in self.account.delete(name, 1):
                last = self.states[name][record_id][-1]
                gone = State(began, time.time(), last.kind, None, b"", ())
                self.deleted[name][record_id] = gone
        elif act == "add":
            for record_id in self.account.add(name):
                self.states[name][record_id] = [self._look(name, record_id, began, "new")]
        elif act == "change":
            for record_id in self.account.change(name, 1):
                self._note(name, record_id, began, "dated")
        else:
            for record_id in self.account.change_part(name, act, 1):  # type: ignore[arg-type]
                self._note(name, record_id, began, act)  # type: ignore[arg-type]

    def _note(self, name: DatasetName, record_id: int, began: float, kind: Kind) -> None:
        """Note the new state of a record; a stub looks the same after a change."""
        state, states = self._look(name, record_id, began, kind), self.states[name][record_id]
        if state.digest != states[-1].digest:
            states.append(state)

    def _look(self, name: DatasetName, record_id: int, began: float, kind: Kind) -> State:
        record = expected_record(self.account, name, record_id)
        parts = tuple(digest(record.get(key)) for key in PARTS.values())
        date = record.get(DATASETS[name].date_key)
        if kind == "dated" and date is None:
            kind = "stub"
        return State(began, time.time(), kind, date, digest(record), parts)


def digest(value: Record | list[Record] | None) -> bytes:
    """Return the same bytes for the same JSON; the numbers of a copy are decimals."""
    text = orjson.dumps(value, default=_number, option=orjson.OPT_SORT_KEYS)
    return blake2b(text, digest_size=16).digest()


def _number(value: Decimal) -> float:
    return int(value) if value == value.to_integral_value() else float(value)
