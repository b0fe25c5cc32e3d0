"""Break the account on purpose: a fault changes a call before it is served, or its answer.

`FAULTS` are those that `acsync simulate --fault NAME` offers; the tests define many more.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Self, TypeAlias

from acsync.simulator.requests import Answer, Call

When: TypeAlias = Callable[[Call], bool]
Reply: TypeAlias = Callable[[Call, Answer], Answer]


@dataclass(frozen=True, eq=False)
class Fault:
    """Something that goes wrong at the calls that `when` accepts.

    `ask` changes the call, `reply` the answer. `times` limits how often it happens (None: no
    limit). `share` is its chance at each call, drawn from the account's seed.
    """

    name: str
    when: When = lambda _: True
    times: int | None = None
    share: float = 1.0
    ask: Callable[[Call], Call] | None = None
    reply: Reply | None = None

    def only(self, when: When | None = None, times: int | None = None, share: float = 1.0) -> Self:
        """Return the same fault for some calls: `cut_off().only(on_path("deals"), times=2)`."""
        return replace(self, when=when or self.when, times=times, share=share)


class Faults:
    """The faults of one account; they can be added and cleared while it is served."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._random = Random(seed)  # noqa: S311  # repeatable
        self._left: dict[Fault, int | None] = {}
        self.hits: dict[str, int] = {}

    def add(self, *faults: Fault) -> None:
        """Start these faults at the next call."""
        with self._lock:
            self._left |= {fault: fault.times for fault in faults}

    def clear(self) -> None:
        """End all faults, but keep `hits`."""
        with self._lock:
            self._left.clear()

    def strike(self, call: Call) -> list[Fault]:
        """Return the faults of this call, and count them by name in `hits`."""
        with self._lock:
            due = [fault for fault, left in self._left.items() if left != 0 and fault.when(call)]
            struck = [f for f in due if f.share >= 1 or self._random.random() < f.share]
            for fault in struck:
                left = self._left[fault]
                self._left[fault] = None if left is None else left - 1
                self.hits[fault.name] = self.hits.get(fault.name, 0) + 1
            return struck


def reply_with(**changes: Any) -> Reply:
    """Return a reply that changes these attributes of the good answer."""
    return lambda _call, answer: replace(answer, **changes)


def cut_in_half(_: Call, answer: Answer) -> Answer:
    """End the body properly, but in the middle of its JSON, so that only the parser notices."""
    content = answer.content()
    return replace(answer, data=None, body=content[: len(content) // 2])


def on_row_251(call: Call) -> bool:
    """Accept pages of any size that contain the 251st deal."""
    return call.path == "deals" and 0 <= 250 - call.offset < call.limit()


BAD_GATEWAY = reply_with(status=502, data=None, body=b"<html></html>", content_type="text/html")
FORBIDDEN = reply_with(status=403, data=None, content_type=None)
TOO_MANY = reply_with(status=429, data=None, content_type=None, headers=(("Retry-After", "1"),))
BAD_NETWORK = (
    BAD_GATEWAY,
    cut_in_half,
    reply_with(data=None),  # an empty 200
    reply_with(ending="reset"),
    reply_with(delay_seconds=2),
)

# One for each way in which a sync reacts.
FAULTS: dict[str, tuple[Fault, ...]] = {
    # Retried: the sync is complete.
    "bad-network": tuple(Fault("bad-network", share=0.015, reply=reply) for reply in BAD_NETWORK),
    # Paced: another program takes a fifth of the account's calls.
    "shared-budget": (Fault("shared-budget", share=0.2, reply=TOO_MANY),),
    # Failed: the reason is named, and the published snapshot stays.
    "key-revoked": (Fault("key-revoked", reply=FORBIDDEN),),
    "page-always-fails": (Fault("page-always-fails", when=on_row_251, reply=BAD_GATEWAY),),
    "orders-ignored": (Fault("orders-ignored", ask=lambda call: call.without("orders")),),
}
