"""Contacts are read even if their tags and lists fail."""

from dataclasses import replace

import pytest

from acsync.datasets import RELATIONS, RelationName
from acsync.errors import AccessDenied
from acsync.simulator.account import Account
from acsync.simulator.fault_injection import Fault
from tests.support import faults
from tests.support.in_memory import Reading, account_of

BOTH_RELATIONS: tuple[RelationName, ...] = ("tags", "lists")
STATUSES = pytest.mark.parametrize("status", [500, 504, 404, 422, 400, 403])


def read_through(fault: Fault) -> tuple[Account, Reading]:
    """Read 300 contacts with tags and lists; no contact may be missing."""
    account = account_of(300)
    account.faults.add(fault)
    reading = Reading(account, "contacts", 20, BOTH_RELATIONS)
    assert reading.run() == set(account.ids("contacts"))
    return account, reading


def refuse_include(code: int, *relations: str) -> Fault:
    """Answer with this status if `include` names one of these relations."""
    fault = faults.status(code).only(lambda call: any(map(call.includes_any, relations)))
    return replace(fault, name=f"refuses-include-{code}")


@STATUSES
@pytest.mark.parametrize("call_number", [1, 2, 9])
def test_relations_that_fail_at_any_page_are_left_out(status: int, call_number: int) -> None:
    """The contacts arrive without them, and the reason names the call and its status."""
    refused = refuse_include(status, "contactTags", "contactLists")
    late = refused.only(lambda call: refused.when(call) and call.number >= call_number)

    account, reading = read_through(late)

    assert set(reading.optional.reasons) == set(BOTH_RELATIONS)
    for reason in reading.optional.reasons.values():
        assert "GET /api/3/contacts?" in reason
        assert f"status {status}" in reason
    assert account.faults.hits[late.name] <= 7
    assert bool(reading.related.get("contactTags")) == (call_number > 1)


@STATUSES
def test_a_relation_that_works_is_kept(status: int) -> None:
    """The lists still arrive if only tags are refused."""
    _, reading = read_through(refuse_include(status, "contactTags"))

    assert set(reading.optional.reasons) == {"tags"}
    assert set(reading.related) == {"contactLists"}


def test_an_array_that_disappears_is_left_out() -> None:
    """The status is 200, but the answers no longer have tags."""

    def reply(call, answer):  # type: ignore[no-untyped-def]
        if answer.data and call.number > 5:
            for holder in (answer.data, *answer.data.get("contacts", [])):
                holder.pop("contactTags", None)
        return answer

    _, reading = read_through(Fault("stops-tags", reply=reply))

    assert set(reading.optional.reasons) == {"tags"}
    assert "without contactTags" in reading.optional.reasons["tags"]


@pytest.mark.parametrize("times", [1, 3, 4])
def test_a_failure_that_passes_changes_nothing(times: int) -> None:
    """Relations are tried once more before they are left out."""
    refused = refuse_include(500, "contactTags")
    passing = refused.only(lambda call: refused.when(call) and call.number > 4, times=times)

    account, reading = read_through(passing)

    assert account.faults.hits[passing.name] == times
    assert not reading.optional.reasons
    assert set(reading.related) == {"contactTags", "tags", "contactLists"}


def test_all_readers_of_a_sync_learn_it_at_once() -> None:
    """Each slice has its own reader, and each failing page costs four calls."""
    account, reading = read_through(refuse_include(500, "contactTags", "contactLists"))
    hits = account.faults.hits["refuses-include-500"]

    assert reading.optional.usable(BOTH_RELATIONS) == ()
    assert reading.walk.read_newest().relations == ()
    assert account.faults.hits["refuses-include-500"] == hits


def test_a_wrong_key_is_not_blamed_on_relations() -> None:
    account = account_of(300)
    account.faults.add(faults.forbidden())

    with pytest.raises(AccessDenied, match="AC_API_KEY"):
        Reading(account, "contacts", 20, tuple(RELATIONS)).run()
