"""A walk through bad answers returns every record or fails. No server is needed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.errors import AcsyncError, CallFailed, Incomplete, PaginationError, ResponseTooLarge
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Answer, Call
from tests.support import faults
from tests.support.in_memory import TIRELESS, Reading, account_of

BOTH = pytest.mark.parametrize("name", list(DATASETS))

# A bad network


@BOTH
@pytest.mark.parametrize("share", [0.03, 0.1, 0.5])
def test_a_bad_network_costs_no_record_without_an_error(name: DatasetName, share: float) -> None:
    """Three retries are enough if one answer in ten is bad, but not if half of them are."""
    outcomes = [walk_through(name, share, seed) for seed in range(10)]

    exact = outcomes.count("exact")
    assert set(outcomes) <= {"exact", "CallFailed", "CallRefused", "AccessDenied"}
    assert exact == 10 if share < 0.1 else exact >= 9 if share == 0.1 else exact < 5


def walk_through(name: DatasetName, share: float, seed: int) -> str:
    """Read an account through a bad network; return the error's name, or whether all was read."""
    account = account_of(150)
    stall = faults.stall(TIRELESS.read_timeout_seconds + 1)
    refusals = faults.too_many(0), faults.too_many_until(-5)
    account.faults = type(account.faults)(seed)
    account.faults.add(faults.bad_network(seed, stall, *refusals).only(share=share))
    try:
        read = Reading(account, name, 10).run()
    except AcsyncError as error:
        return type(error).__name__
    return "exact" if read == set(account.ids(name)) else "wrong"


def null_instead_of_no_values() -> Fault:
    """Send null instead of an empty list of values."""

    def change(call: Call, body: Record) -> None:
        key = faults.SIDELOADS.get(call.path, "")
        for row in body.get(call.path, []):
            row[key] = row.get(key) or None

    return faults.body_fault("null-instead-of-no-values", change)


@BOTH
def test_null_means_no_values(name: DatasetName) -> None:
    """So do a missing key and an empty array."""
    account = account_of(300)
    account.faults.add(null_instead_of_no_values())

    assert Reading(account, name, 20).run() == set(account.ids(name))


# Answers that lie


def pad_ids() -> Fault:
    """Send ids with a zero in front, so that no value names its record."""
    return faults.rows_fault(
        "pads-ids", lambda rows: [row.update(id=f"0{row['id']}") for row in rows]
    )


@BOTH
@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (faults.add_to_total(70), Incomplete, "counts 370 .*, but 300 were read"),
        (faults.add_to_total(-70), Incomplete, "counts 230 .*, but 300 were read"),
        (faults.total_is(10**15), Incomplete, "but 300 were read"),
        (faults.total_is(-5), CallFailed, "a total that is not a count"),
        (faults.total_is("many"), CallFailed, "a total that is not a count"),
        (faults.ignore_parameter("orders"), PaginationError, r"ignores orders\[id\]"),
        (faults.ignore_parameter("include"), PaginationError, "ignores include"),
        (faults.unsorted_rows(), PaginationError, r"ignores orders\[id\]"),
        (faults.repeat_page(), PaginationError, "ignores id_greater|repeats itself"),
        (faults.record_without_id(), PaginationError, "without a usable id"),
        (pad_ids(), PaginationError, "without a usable id"),
        (faults.drop_sideload(), CallFailed, "without .* of its"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_a_lie_is_recognised_and_named(
    name: DatasetName, fault: Fault, error: type[Exception], message: str
) -> None:
    """Each lie looks like a good answer with status 200."""
    account = account_of(300)
    account.faults.add(fault)

    with pytest.raises(error, match=message):
        Reading(account, name, 20).run()

    assert account.statistics.calls < 60


@BOTH
@pytest.mark.parametrize(
    "fault",
    [
        faults.ignore_parameter("limit"),
        faults.drop_rows(1),
        faults.without_meta(),
        faults.total_is(None),
    ],
    ids=lambda fault: fault.name,
)
def test_pages_that_are_only_smaller_or_uncounted_are_read_exactly(
    name: DatasetName, fault: Fault
) -> None:
    """A walk advances by the rows received, and only ids prove that all were read."""
    account = account_of(300)
    account.faults.add(fault)

    assert Reading(account, name, 100).run() == set(account.ids(name))


def swell(size: int) -> Fault:
    """Append this many blanks to the good answer, which JSON allows."""

    def reply(_call: Call, answer: Answer) -> Answer:
        return replace(answer, data=None, body=answer.content() + b" " * size)

    return Fault("swell", reply=reply)


@BOTH
def test_a_page_that_is_too_large_is_read_in_smaller_ones(name: DatasetName) -> None:
    """Some records hold texts of a megabyte."""
    limits = replace(TIRELESS, max_response_bytes=10**6)
    account = account_of(300)
    account.faults.add(swell(10**6).only(lambda call: call.limit() > 30))

    assert Reading(account, name, 100, limits=limits).run() == set(account.ids(name))

    account.faults.add(swell(10**6))
    with pytest.raises(ResponseTooLarge, match="limit="):
        Reading(account, name, 100, limits=limits).run()


LIES: list[Callable[[], Fault]] = [
    *(partial(faults.add_to_total, number) for number in (3, -3)),
    *(partial(faults.ignore_parameter, key) for key in ("orders", "offset", "id_greater", "limit")),
    faults.repeat_page,
    partial(faults.page_cap, 7),
    partial(faults.drop_rows, 2),
    faults.unsorted_rows,
    faults.empty_dataset,
]


@BOTH
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie().name)
def test_a_server_that_lies_sometimes_is_never_believed(
    name: DatasetName, lie: Callable[[], Fault]
) -> None:
    """It is harder to detect than one that always lies. An empty account trips the shrink guard."""
    for seed in range(6):
        account = account_of(100)
        account.faults = type(account.faults)(seed)
        account.faults.add(lie().only(share=(0.1, 0.4, 0.8)[seed % 3]))
        try:
            read = Reading(account, name, 10).run()
        except AcsyncError:
            continue
        assert read == set(account.ids(name)) or not read, seed
