"""Walks lose nothing: whatever is added, changed or deleted under the reader, and whenever."""

from collections.abc import Iterator
from random import Random

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsync.activecampaign.budget import CallBudget
from acsync.activecampaign.client import Client
from acsync.activecampaign.gate import Walked, require_complete
from acsync.activecampaign.paging import END, Walk
from acsync.activecampaign.slices import (
    NEWEST_SLICE,
    Interval,
    Piece,
    Plan,
    Slice,
    find_gaps,
    interleave,
    next_number,
    plan_slices,
    slice_gaps,
)
from acsync.datasets import DATASETS, DatasetName
from acsync.errors import Incomplete
from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.answers import answer_call
from acsync.simulator.calls import Call

BOTH = pytest.mark.parametrize("name", list(DATASETS))


def account_of(records: int, page_cap: int = 100) -> Account:
    return Account(
        AccountOptions(contacts=records, deals=records, values_per_record=1, page_cap=page_cap)
    )


def client_of(account: Account) -> Client:
    """Connect to the account without a socket, so that thousands of walks take seconds."""

    def respond(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/3/")
        number = account.statistics.accept(path)
        call = Call(path, dict(request.url.params), number, account.options.page_cap)
        account.hooks.run(call, "before")
        answer = answer_call(account, call)
        account.hooks.run(call, "after")
        return httpx.Response(answer.status, content=answer.content())

    transport = httpx.MockTransport(respond)
    return Client("http://localhost/api/3/", "key", CallBudget(1e9), transport=transport)


class Reading:
    """One walk of a dataset, kept in memory as the store keeps it in staging."""

    def __init__(self, account: Account, name: DatasetName, page_size: int) -> None:
        self.account = account
        self.name = name
        self.page_size = page_size
        self.walk = Walk(client_of(account), DATASETS[name], page_size)
        self.covered: dict[int, Interval] = {}
        self.ids: set[int] = set()

    def plan(self) -> Plan:
        newest = self.walk.read_newest()
        self.keep(NEWEST_SLICE, [newest])
        return plan_slices(DATASETS[self.name], newest, self.page_size)

    def keep(self, number: int, pieces: list[Piece]) -> None:
        for piece in pieces:
            if not piece.ids and piece.covered.last == END:
                continue
            self.ids |= set(piece.ids)
            first, last = piece.covered.first, piece.covered.last
            if number in self.covered:
                first = min(first, self.covered[number].first)
                last = max(last, self.covered[number].last)
            self.covered[number] = Interval(first, last)

    def read(self, wanted: Slice) -> Iterator[Piece]:
        return self.walk.read_slice(wanted)

    def close(self, plan: Plan) -> Walked:
        newest_id = plan.newest_id
        while True:
            for gap in slice_gaps(plan, self.covered, newest_id):
                self.keep(gap.number, list(self.read(gap)))
            newest = self.walk.read_newest()
            self.keep(next_number(self.covered), [newest])
            newest_id = newest.ids[-1] if newest.ids else 0
            if not find_gaps(self.covered.values(), newest_id):
                break
        planned = sum(record <= plan.newest_id for record in self.ids)
        return Walked(newest_id, newest.total, len(self.ids), planned)

    def run(self) -> set[int]:
        plan = self.plan()
        for part in plan.slices:
            self.keep(part.number, list(self.read(part)))
        require_complete(plan, self.covered.values(), self.close(plan))
        return self.ids


@BOTH
@pytest.mark.parametrize("records", [0, 1, 2, 9, 10, 11, 19, 20, 100, 101, 333])
@pytest.mark.parametrize("page_size", [2, 3, 10])
def test_every_size_at_every_page_border_is_read_whole(
    name: DatasetName, records: int, page_size: int
) -> None:
    """The system this replaces lost its last page and doubled its first."""
    account = account_of(records)

    assert Reading(account, name, page_size).run() == set(account.ids(name))


@BOTH
@pytest.mark.parametrize("records", [10_000, 10_100, 12_345, 20_000])
def test_planning_seams_and_ends_cost_at_most_three_percent(
    name: DatasetName, records: int
) -> None:
    """Calls are the account's scarce good: 10,000 records need 100 of them."""
    account = account_of(records)

    assert len(Reading(account, name, 100).run()) == records
    assert account.statistics.calls <= -(-records // 100) * 1.03


@BOTH
def test_a_smaller_page_than_asked_for_is_followed_by_the_rows_received(name: DatasetName) -> None:
    """Asking for 500 gives 100, and an advance by 500 would skip 400 records a page."""
    account = account_of(730, page_cap=50)

    assert Reading(account, name, 500).run() == set(account.ids(name))
    assert account.statistics.calls <= 730 / 50 * 1.3


@BOTH
def test_slices_hold_the_same_number_however_unevenly_ids_are_spread(name: DatasetName) -> None:
    """Slices of equal id ranges would be empty here and crowded there."""
    reading = Reading(account_of(5_000), name, 20)
    plan = reading.plan()

    sizes = [sum(len(piece.ids) for piece in reading.read(part)) for part in plan.slices]

    assert len(sizes) == (27 if name == "deals" else 26)
    assert set(sizes[:-1]) == {200}


@BOTH
@settings(max_examples=100, deadline=None)
@given(
    records=st.integers(0, 120),
    page_size=st.integers(2, 9),
    seed=st.integers(0, 2**16),
    rate=st.sampled_from([0.1, 0.5, 1.0]),
    clump=st.sampled_from([1, 5, 40]),
)
def test_whatever_changes_while_reading_what_stayed_is_read(
    name: DatasetName, records: int, page_size: int, seed: int, rate: float, clump: int
) -> None:
    """Changes come between any two calls, one by one or in clumps, while slices interleave."""
    account, chance = account_of(records), Random(seed)

    def disturb() -> None:
        if chance.random() < rate and account.statistics.calls < 300:
            action = chance.choice(["add", "change", "delete"])
            getattr(account, action)(name, chance.randint(1, clump))

    account.on_call(lambda _: True, disturb, times=None)
    mark = account.mark()
    reading = Reading(account, name, page_size)
    plan = reading.plan()
    under_way = {part.number: reading.read(part) for part in interleave([plan])}
    while under_way:
        number = chance.choice(sorted(under_way)[:4])
        piece = next(under_way[number], None)
        if piece is None:
            del under_way[number]
        else:
            reading.keep(number, [piece])
    walked = reading.close(plan)

    require_complete(plan, reading.covered.values(), walked)
    assert account.untouched_since(name, mark) <= reading.ids <= account.ever(name)


def test_gaps_are_the_ids_that_no_interval_covers() -> None:
    """Intervals may overlap, touch, and come in any order."""
    intervals = [Interval(1, 5), Interval(4, 10), Interval(11, 12), Interval(20, 25)]

    assert find_gaps(intervals, 30) == [Interval(13, 19), Interval(26, 30)]
    assert find_gaps(reversed(intervals), 25) == [Interval(13, 19)]
    assert find_gaps([], 3) == [Interval(1, 3)]
    assert find_gaps([], 0) == []


PLAN = Plan("deals", total=100, newest_id=500, page_rows=20, slices=())


@pytest.mark.parametrize(
    ("covered", "walked"),
    [
        ([Interval(1, 500)], Walked(500, 100, 100, 100)),
        ([Interval(1, 510)], Walked(510, 97, 104, 100)),
        ([Interval(1, 300), Interval(301, 500)], Walked(500, None, 90, 90)),
        ([], Walked(0, 0, 0, 0)),
    ],
    ids=["nothing changed", "added and deleted meanwhile", "no total", "emptied meanwhile"],
)
def test_the_gate_passes_what_is_complete(covered: list[Interval], walked: Walked) -> None:
    """What was read before it was deleted may be more than is there at the end."""
    require_complete(PLAN, covered, walked)


@pytest.mark.parametrize(
    ("covered", "walked", "words"),
    [
        ([Interval(1, 300), Interval(302, 500)], Walked(500, 100, 100, 100), "id 301 and 301"),
        ([Interval(1, 400)], Walked(500, 100, 100, 100), "id 401 and 500"),
        ([Interval(1, 500)], Walked(500, 101, 100, 100), "counts 101 deals, 100 were read"),
        ([Interval(1, 510)], Walked(510, 101, 111, 101), "counted 100 deals, 101 were read"),
        ([], Walked(0, 75_000, 0, 0), "counts 75,000 deals, 0 were read"),
    ],
    ids=["a gap", "the end is missing", "one is missing", "one too many", "suddenly empty"],
)
def test_the_gate_names_what_is_not_complete(
    covered: list[Interval], walked: Walked, words: str
) -> None:
    """A silently missing record is the worst bug there is."""
    with pytest.raises(Incomplete, match=words):
        require_complete(PLAN, covered, walked)
