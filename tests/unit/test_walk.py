"""Walks lose no record, whatever is added, changed or deleted during the walk."""

from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acsync.datasets import DATASETS, FIELDS, DatasetName
from acsync.enrich.enricher import Enricher
from acsync.errors import CallFailed, Incomplete
from acsync.readings import Interval, Plan
from acsync.simulator.account import Account
from acsync.sync.completeness import Walked, judge_total, require_complete
from acsync.sync.context import RECOUNT_PAUSES
from acsync.sync.gap_fill import End, find_gaps
from acsync.sync.job import Job
from acsync.sync.plan import interleave
from tests.support import faults
from tests.support.calls import for_newest_page, on_call, on_numbers
from tests.support.in_memory import Reading, account_of

CALLS_PER_CLUMP = 6

BOTH = pytest.mark.parametrize("name", list(DATASETS))


@BOTH
@pytest.mark.parametrize("records", [0, 1, 2, 9, 10, 11, 19, 20, 100, 133])
@pytest.mark.parametrize("page_size", [2, 3, 10])
def test_every_size_at_every_page_border_is_read_whole(
    name: DatasetName, records: int, page_size: int
) -> None:
    """The system that acsync replaces lost its last page and read its first page twice."""
    account = account_of(records)

    assert Reading(account, name, page_size).run() == set(account.ids(name))


@BOTH
def test_planning_seams_and_ends_cost_at_most_three_percent(name: DatasetName) -> None:
    """Calls are what takes time: 10,000 records need 100 of them."""
    account = account_of(10_000, values_per_record=0)

    assert len(Reading(account, name, 100).run()) == 10_000
    assert account.statistics.calls <= 103


@BOTH
def test_a_smaller_page_than_asked_for_is_followed_by_the_rows_received(name: DatasetName) -> None:
    """A limit of 500 returns 100 rows, and steps of 500 would skip 400 records per page."""
    account = account_of(730, page_cap=50)

    assert Reading(account, name, 500).run() == set(account.ids(name))
    assert account.statistics.calls <= 730 / 50 * 1.3


@BOTH
def test_slices_have_equal_sizes_even_if_ids_have_gaps(name: DatasetName) -> None:
    """Slices of equal id ranges would differ in size. The last slices are one page each."""
    reading = Reading(account_of(5_000, values_per_record=0), name, 20)
    plan = reading.plan()

    sizes = [sum(len(page.ids) for page in reading.read(part)) for part in plan.slices]

    assert sizes[:18] == [200] * 18
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-10:-1] == [20] * 9


@BOTH
@settings(max_examples=15, deadline=None)
@given(
    records=st.integers(0, 70),
    page_size=st.integers(2, 9),
    seed=st.integers(0, 2**16),
    changes=st.tuples(st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from([1, 5, 40])),
    thin=st.sampled_from([0.0, 0.05, 0.3]),
)
def test_records_that_stayed_are_read_whatever_changes(
    name: DatasetName,
    records: int,
    page_size: int,
    seed: int,
    changes: tuple[float, int],
    thin: float,
) -> None:
    """Changes happen between any two calls, singly or in clumps, while slices interleave.

    Some pages also lack rows that exist.
    """
    account, chance = account_of(records), Random(seed)
    rate, clump = changes
    account.faults.add(faults.thin_pages(seed, thin))

    def disturb() -> None:
        if chance.random() < rate and account.statistics.calls < 300:
            action = chance.choice(["add", "change", "delete"])
            getattr(account, action)(name, chance.randint(1, clump))
            leave_one(account, name)

    on_call(account, lambda _: True, disturb, times=None)
    mark = account.mark()
    reading = Reading(account, name, page_size)
    try:
        read_interleaved(reading, chance)
    except (CallFailed, Incomplete):
        assert thin  # A refusal loses no record.
    else:
        assert account.untouched_since(name, mark) <= reading.ids <= account.ever(name)


def read_interleaved(reading: Reading, chance: Random) -> None:
    """Read up to four slices at a time, in turns of one page.

    The newest page is read again while the last slices are read.
    """
    plan = reading.plan()
    enricher = Enricher(reading.name, {FIELDS[reading.name]: []})
    under_way = {
        part.number: reading.read(part)
        for part in interleave([Job(plan, {}, lambda: reading.walk, enricher)])
    }
    newest: End | None = None
    while under_way:
        if newest is None and len(under_way) < 4 and chance.random() < 0.3:
            newest = reading.gap_fill(plan).read_newest()
        number = chance.choice(sorted(under_way)[:4])
        page = next(under_way[number], None)
        if page is None:
            del under_way[number]
        else:
            reading.keep(number, [page])
    reading.require_complete(plan, newest or reading.gap_fill(plan).read_newest())


@BOTH
@settings(max_examples=15, deadline=None)
@given(
    records=st.integers(0, 100),
    page_size=st.integers(2, 9),
    clumps=st.lists(
        st.tuples(
            st.integers(1, 60), st.sampled_from(["add", "delete"]), st.integers(0, 150),
            st.integers(1, 100), st.sampled_from(["before", "after"]),
        ),
        max_size=5,
    ),
)  # fmt: skip
@example(150, 5, [(1, "delete", 0, 100, "after")])
@example(150, 5, [(2, "delete", 0, 50, "before"), (2, "delete", 50, 50, "after")])
@example(150, 5, [(33, "delete", 0, 149, "before"), (33, "add", 0, 100, "after")])
def test_neighbours_deleted_at_once_hide_no_other_record(
    name: DatasetName,
    records: int,
    page_size: int,
    clumps: list[tuple[int, str, int, int, Any]],
) -> None:
    """Whole pages are deleted at the borders of slices, and few calls close the gaps."""
    account = account_of(records)
    for number, action, place, size, moment in clumps:
        on_call(
            account,
            on_numbers(number),
            partial(clump, account, name, action, place, size),
            moment=moment,
        )
    mark = account.mark()

    read = Reading(account, name, page_size).run()

    assert account.untouched_since(name, mark) <= read <= account.ever(name)
    assert account.statistics.calls <= most_calls(account, name, page_size, len(clumps))


def clump(account: Account, name: DatasetName, action: str, place: int, size: int) -> None:
    """Add records, or delete neighbours from a place on, but never all records."""
    if action == "add":
        account.add(name, size)
    else:
        account.delete(name, account.ids(name)[place : place + size])
        leave_one(account, name)


def leave_one(account: Account, name: DatasetName) -> None:
    """A sync refuses an account that is suddenly empty."""
    if not account.ids(name):
        account.add(name)


def most_calls(account: Account, name: DatasetName, page_size: int, clumps: int) -> int:
    """Allow calls for pages, the seams of slices and the gaps of clumps, for each recount.

    Gaps that stay open are read again in each recount."""
    pages = len(account.ever(name)) / (page_size - 1) + 1
    return int(pages * 3 + 12 + clumps * CALLS_PER_CLUMP) * (1 + len(RECOUNT_PAUSES))


@BOTH
def test_the_first_record_may_be_added_after_the_newest_page(name: DatasetName) -> None:
    """An account that was empty at the start was not emptied."""
    account = account_of(0)
    reading = Reading(account, name, page_size=5)
    plan = reading.plan()
    newest = reading.gap_fill(plan).read_newest()
    account.add(name)
    for part in plan.slices:
        reading.keep(part.number, reading.read(part))

    reading.require_complete(plan, newest)

    assert reading.ids == set(account.ids(name))


@BOTH
def test_a_replica_that_lags_at_the_end_of_the_walk_hides_nothing(name: DatasetName) -> None:
    """The last slices and the newest page then end early."""
    account, replica = account_of(300), account_of(300)
    reading, lagging = Reading(account, name, page_size=10), Reading(replica, name, page_size=10)
    plan = reading.plan()
    lagging.plan()
    replica.delete(name, replica.ids(name)[250:])
    for part in plan.slices:
        source = lagging if part.offset > 200 else reading
        reading.keep(part.number, source.read(part))
    newest = lagging.gap_fill(plan).read_newest()
    assert newest.page.newest_id < plan.newest_id

    reading.require_complete(plan, newest)

    assert reading.ids == set(account.ids(name))


@BOTH
def test_a_replica_that_lags_until_the_newest_page_is_read_again_hides_nothing(
    name: DatasetName,
) -> None:
    """Then the gaps are empty too, and the total agrees with the records that were read."""
    account = account_of(300)
    reading = Reading(account, name, page_size=10)
    plan = reading.plan()
    account.faults.add(faults.lag_behind(account.ids(name)[250:]))
    for part in plan.slices:
        reading.keep(part.number, reading.read(part))
    newest = reading.gap_fill(plan).read_newest()
    on_call(account, for_newest_page, account.faults.clear)

    reading.require_complete(plan, newest)

    assert reading.ids == set(account.ids(name))


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
        ([Interval(1, 500)], Walked(PLAN, 500, 100, 100, 100)),
        ([Interval(1, 510)], Walked(PLAN, 510, 97, 104, 100)),
        ([Interval(1, 300), Interval(301, 500)], Walked(PLAN, 500, None, 90, 90)),
        ([Interval(1, 300), Interval(401, 500)], Walked(PLAN, 300, 60, 80, 80)),
    ],
    ids=["nothing changed", "added and deleted during the walk", "no total", "the end was deleted"],
)
def test_the_gate_passes_what_is_complete(covered: list[Interval], walked: Walked) -> None:
    """More records may have been read than exist at the end, if some were deleted."""
    require_complete(covered, walked)

    assert judge_total(walked, earlier=()) == ()


@pytest.mark.parametrize(
    ("covered", "walked", "message"),
    [
        (
            [Interval(1, 300), Interval(302, 500)],
            Walked(PLAN, 500, 100, 100, 100),
            "id 301 and 301",
        ),
        ([Interval(1, 400)], Walked(PLAN, 500, 100, 100, 100), "id 401 and 500"),
        ([], Walked(PLAN, 0, 75_000, 0, 0), "100 deals first and none at the end"),
        (
            [Interval(1, 300)],
            Walked(PLAN, 0, 0, 60, 60),
            "listed 100 deals first and none at the end",
        ),
    ],
    ids=["a gap", "the end is missing", "rows are gone, the count stays", "suddenly empty"],
)
def test_the_gate_names_what_is_not_complete(
    covered: list[Interval], walked: Walked, message: str
) -> None:
    """A record that is silently missing is the worst bug of all."""
    with pytest.raises(Incomplete, match=message):
        require_complete(covered, walked)


EMPTY = Plan("deals", total=3, newest_id=0, page_rows=100, slices=())


LARGE = Plan("deals", total=75_000, newest_id=90_000, page_rows=100, slices=())


@pytest.mark.parametrize(
    ("walked", "earlier"),
    [
        (Walked(PLAN, 500, 101, 100, 100), []),
        (Walked(PLAN, 500, 90, 100, 110), []),
        (Walked(LARGE, 90_000, 75_075, 75_000, 75_000), [0, 0]),
        (Walked(LARGE, 90_000, 75_900, 75_000, 75_000), [880, 850]),
        (Walked(LARGE, 90_000, 70_000, 75_000, 80_000), [-5_000, -5_020, 0]),
    ],
    ids=[
        "one more",
        "ten fewer",
        "a thousandth",
        "the same for three syncs",
        "always fewer",
    ],
)
def test_a_total_with_a_small_or_constant_difference_is_a_warning(
    walked: Walked, earlier: list[int]
) -> None:
    """It is not known what every account counts, so a total must not block one permanently."""
    (warning,) = judge_total(walked, earlier)

    assert f"counts {walked.total:,} deals, but {walked.records:,} were read" in warning


@pytest.mark.parametrize(
    ("walked", "earlier"),
    [
        (Walked(LARGE, 90_000, 75_900, 75_000, 75_000), []),
        (Walked(LARGE, 90_000, 75_900, 75_000, 75_000), [900]),
        (Walked(LARGE, 90_000, 75_900, 75_000, 75_000), [900, 0, 900]),
        (Walked(LARGE, 90_000, 75_900, 75_000, 75_000), [860, 820]),
        (Walked(LARGE, 90_000, 75_900, 75_000, 75_000), [-900, -900]),
        (Walked(LARGE, 90_000, 74_000, 75_200, 75_200), []),
        (Walked(EMPTY, 0, 3, 0, 0), [3, 3]),
        (Walked(EMPTY, 0, 0, 0, 0), [0, 0]),
    ],
    ids=[
        "first",
        "second",
        "not in a row",
        "growing",
        "the other way",
        "fewer",
        "never a record",
        "counted at first",
    ],
)
def test_a_total_with_a_large_difference_is_refused(walked: Walked, earlier: list[int]) -> None:
    """The reason may be a page that was never read."""
    with pytest.raises(Incomplete, match="were read"):
        judge_total(walked, earlier)


@BOTH
@pytest.mark.parametrize("place", [0, 1, 7, 100, 137, 199, 250, 398, 399])
def test_a_record_that_breaks_every_page_is_named_by_its_neighbours(
    name: DatasetName, place: int
) -> None:
    """A person can open the records next to it, but not 'some page'."""
    account = account_of(400)
    ids = account.ids(name)
    account.faults.add(faults.breaks_on(name, ids[place]))

    with pytest.raises(CallFailed, match="One record breaks the page") as caught:
        Reading(account, name, 100).run()

    neighbours = (*ids[max(place - 1, 0) : place], *ids[place + 1 :][:1])
    assert any(f"id {record_id}" in str(caught.value) for record_id in neighbours)
    assert account.statistics.calls < 30


@BOTH
def test_no_record_is_searched_for_in_an_account_that_is_down(name: DatasetName) -> None:
    """A server in trouble does not need twenty more calls per page."""
    account = account_of(400)
    account.faults.add(faults.status(503))

    with pytest.raises(CallFailed, match="status 503, tried 4 times"):
        Reading(account, name, 100).plan()

    assert account.statistics.calls == 6


def test_a_page_that_only_works_in_parts_blames_no_record() -> None:
    """A page can be too large for the server without a bad record in it."""
    account = account_of(400)
    account.faults.add(faults.status(504).only(lambda call: call.limit(20) > 50))

    with pytest.raises(CallFailed, match=r"all of it came\. Lower LIMIT_PER_PAGE"):
        Reading(account, "contacts", 100).plan()
