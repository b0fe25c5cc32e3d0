"""Existing values are never lost, and values of a deleted field cost few calls."""

import math
from collections.abc import Callable

import pytest

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.errors import CallFailed
from acsync.simulator.account import Account
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from tests.support import faults
from tests.support.calls import on_numbers
from tests.support.in_memory import Reading, account_of

BOTH = pytest.mark.parametrize("name", list(DATASETS))


def values_of(account: Account, name: DatasetName) -> set[str]:
    """Return the ids of all values that exist."""
    return {
        str(value["id"])
        for record in account.ids(name)
        for value in account.record(name, record)[1]
    }


@BOTH
@pytest.mark.parametrize(
    ("orphan_share", "across_records"), [(0.0, False), (0.3, True), (1.0, False), (1.0, True)]
)
@pytest.mark.parametrize("most", [250, 125, 40])
def test_a_limit_of_sideloaded_objects_loses_no_value(
    name: DatasetName, orphan_share: float, across_records: bool, most: int
) -> None:
    """Pages of 50 records have about 375 values; single records cannot be requested."""
    account = account_of(100, values_per_record=8, orphan_share=orphan_share)
    account.faults.add(faults.cut_sideload(most, across_records=across_records))
    account.faults.add(faults.status(404).only(lambda call: "/" in call.path))
    reading = Reading(account, name, 50)

    assert reading.run() == set(account.ids(name))

    assert reading.values == values_of(account, name)
    assert account.statistics.calls < 1.3 * 100 / (most / 16 - 1) + 20
    assert not [path for path in account.statistics.by_path if "/" in path]


@BOTH
def test_pages_cut_in_the_middle_of_an_account_lose_no_value(name: DatasetName) -> None:
    """Hundreds of records had shown values of a deleted field by then."""
    account = account_of(800, values_per_record=4, orphan_share=1.0)
    middle = account.ids(name)[400:550]
    cut = faults.cut_sideload(30)
    account.faults.add(on_records(cut, name, middle[0], middle[-1]))
    reading = Reading(account, name, 100)

    assert reading.run() == set(account.ids(name))

    assert account.faults.hits[cut.name]
    assert reading.values == values_of(account, name)


def on_records(fault: Fault, name: DatasetName, first: int, last: int) -> Fault:
    """Limit a fault to pages with a record from the first id to the last."""
    change = fault.reply
    assert change

    def reply(call, answer):  # type: ignore[no-untyped-def]
        ids = [int(row["id"]) for row in (answer.data or {}).get(name, [])]
        return change(call, answer) if any(first <= record <= last for record in ids) else answer

    return Fault(fault.name, reply=reply)


def rising(account: Account, name: DatasetName) -> Callable[[int], int]:
    """Return a function for the number of values: from 1 to 4, more for newer records."""
    places = {record: place for place, record in enumerate(account.ids(name))}
    return lambda record: 1 + places[record] * 4 // len(places)


def falling(account: Account, name: DatasetName) -> Callable[[int], int]:
    count = rising(account, name)
    return lambda record: 5 - count(record)


SHAPES: dict[str, Callable[[Account, DatasetName], Callable[[int], int]]] = {
    "any number of values": lambda _account, _name: lambda _record: 4,
    "the same number for each record": lambda _account, _name: lambda _record: 3,
    "no value at all": lambda _account, _name: lambda _record: 0,
    "more for newer records": rising,
    "more for older records": falling,
}


@BOTH
@pytest.mark.parametrize("shape", SHAPES)
def test_values_of_a_deleted_field_on_every_record_cost_few_calls(
    name: DatasetName, shape: str
) -> None:
    """A field that was deleted can leave its values on each of 82,000 contacts."""
    records = 1_100
    account = account_of(records, values_per_record=4, orphan_share=1.0)
    account.faults.add(faults.keep_values(SHAPES[shape](account, name)))

    assert len(Reading(account, name, 100).run()) == records

    assert account.statistics.calls <= 1.1 * records / 99 + 24


def forget_tags(*tags: str) -> Fault:
    """Omit these tags, although contacts refer to them, as if they were deleted."""

    def change(_call: Call, body: Record) -> None:
        body["tags"] = [tag for tag in body.get("tags", []) if tag["id"] not in tags]

    fault = faults.body_fault("forgets-tags", change)
    return fault.only(lambda call: "tag" in call.params["include"])


def test_deleted_tags_cost_few_calls() -> None:
    """Many contacts point to the same tag."""
    account = account_of(800, values_per_record=2, orphan_share=0.2)
    account.faults.add(forget_tags("3", "7"))
    reading = Reading(account, "contacts", 100, ("tags", "lists"))

    assert reading.run() == set(account.ids("contacts"))

    assert reading.values == values_of(account, "contacts")
    assert account.statistics.calls <= 1.1 * 800 / 99 + 40


@BOTH
def test_a_page_that_lags_once_is_read_again(name: DatasetName) -> None:
    """It lacks half of its values, twice, and is smaller than pages that were believed."""
    account = account_of(1200, values_per_record=4, orphan_share=1.0)
    lagging = faults.drop_sideload()
    for number in (10, 15, 20):
        account.faults.add(lagging.only(on_numbers(number, number + 1)))
    reading = Reading(account, name, 100)

    assert reading.run() == set(account.ids(name))

    assert account.faults.hits[lagging.name] == 6
    assert reading.values == values_of(account, name)


@BOTH
@pytest.mark.parametrize("records", [1, 2, 150])
def test_a_single_record_with_values_is_read(name: DatasetName, records: int) -> None:
    """No other page shows that the server would have sent more."""
    account = account_of(records, values_per_record=8, orphan_share=1.0, masked_share=0)
    only = account.ids(name)[-1]
    account.faults.add(faults.keep_values(lambda record: 8 if record == only else 0))

    assert Reading(account, name, 100).run() == set(account.ids(name))

    assert account.statistics.calls < 60


def test_a_record_with_more_values_than_are_sent_is_named() -> None:
    """No smaller page brings them, so the dataset must not be published."""
    account = account_of(50, values_per_record=8)
    account.faults.add(faults.cut_sideload(5))

    with pytest.raises(CallFailed, match=r"without . of its fieldValues, however small"):
        Reading(account, "contacts", 20).run()


@BOTH
@pytest.mark.parametrize("names", [7, True, "12", {"0": 1}, {"a": 1}, [None, {}]])
def test_names_that_are_no_list_of_ids_lose_no_value(name: DatasetName, names: object) -> None:
    account = account_of(50, values_per_record=3)
    account.faults.add(faults.names_values_as(names))
    reading = Reading(account, name, 20)

    assert reading.run() == set(account.ids(name))

    assert reading.values == values_of(account, name)
    assert math.isclose(account.statistics.calls, 50 / 20, abs_tol=6)
