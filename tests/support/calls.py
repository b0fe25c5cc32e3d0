"""Do something at an exact call: a deletion between two pages, a kill in a phase."""

from bisect import bisect_left
from collections.abc import Callable
from typing import Literal, TypeAlias

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
