"""Oddities of a healthy account are published exactly, with a warning if people should know."""

import pytest

from acsync.datasets import DATASETS, Record
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import compare
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from acsync.store.snapshot import read_published
from acsync.store.sync_status import read_status
from tests.support import faults
from tests.support.calls import on_path
from tests.support.fixtures import CopyAccount
from tests.support.syncs import assert_exact, compare_copy, last_log, run_incremental

DATA = on_path(*DATASETS)


# As UTC, the first of these is in the year 10000, and the second one before the year 1.
NO_DATES = ("9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+14:00")


def send_date(record: str, date: str) -> Fault:
    """Send one record with this date of its creation and of its last change."""

    def change(rows: list[Record]) -> None:
        for row in rows:
            if row["id"] == record:
                row |= {key: date for key in ("cdate", "udate", "mdate") if key in row}

    return faults.rows_fault("odd-date", change)


def sideload_as_object() -> Fault:
    """Send sideloads as PHP does if keys have gaps: `{"0": …, "2": …}`, or `{}`."""

    def change(call: Call, body: Record) -> None:
        if key := faults.SIDELOADS.get(call.path):
            body[key] = {str(2 * place): value for place, value in enumerate(body[key])}

    return faults.body_fault("sideload-as-object", change)


@pytest.mark.parametrize(
    "options",
    [
        AccountOptions(
            contacts=230,
            deals=230,
            rate_limit=None,
            values_per_record=values,
        )
        for values in (2, 0)
    ],
    ids=["some without values", "no values at all"],
)
@pytest.mark.parametrize("fault", [None, sideload_as_object()])
def test_values_in_every_form_of_php_are_copied(
    fault: Fault | None, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """PHP sends an array with gaps in its keys as an object, and an empty one as either."""
    if fault:
        account.faults.add(fault)

    result = copy_account()

    assert result.success
    assert all(dataset.warnings == () for dataset in result.datasets.values())
    assert_exact(database, account)


def omit_empty(name: str, row: Record) -> Record:
    key = faults.SIDELOADS[name]
    return row if row.get(key) else {name: value for name, value in row.items() if name != key}


@pytest.mark.parametrize(
    "options", [AccountOptions(contacts=230, deals=230, rate_limit=None, values_per_record=1)]
)
def test_records_without_values_can_omit_their_key(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A missing key is no sign that values were lost, because the array of values came."""

    def change(call: Call, body: Record) -> None:
        body[call.path] = [omit_empty(call.path, row) for row in body[call.path]]

    account.faults.add(faults.body_fault("omits-empty", change).only(DATA))

    result = copy_account()

    assert result.success
    for name in DATASETS:
        copied = [*read_published(database, name)]
        assert any(not row["customFields"] for _, row in copied)
        assert compare(account, name, copied, omit_empty).exact


@pytest.mark.parametrize("options", [AccountOptions(contacts=40, deals=40, rate_limit=None)])
@pytest.mark.parametrize("date", NO_DATES)
def test_a_date_outside_of_the_calendar_stops_no_sync(
    date: str,
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Postgres knows later and earlier dates than Python."""
    monkeypatch.setenv("ACSYNC_DATASETS", "contacts,deals,deal_events")
    ids = {name: account.ids(name)[20] for name in DATASETS}
    for name, record in ids.items():
        account.faults.add(send_date(str(record), date).only(on_path(name)))
    assert copy_account().success
    for name, record in ids.items():
        account.change(name, [record])

    results = [run_incremental(read_settings()), copy_account()]
    compared = compare_copy(database, account)

    assert all(result.success for result in results)
    assert {name: compared[name].differing for name in DATASETS} == {
        name: (record,) for name, record in ids.items()
    }


@pytest.mark.parametrize(
    "options", [AccountOptions(contacts=900, deals=900, rate_limit=None, orphan_share=0.3)]
)
def test_values_of_a_deleted_field_are_counted_and_warned_of(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """One deleted field can leave thousands of values that no call returns.

    Stubs are not counted.
    """
    result = copy_account()

    assert_exact(database, account)
    assert not [path for path in account.statistics.by_path if "/" in path]
    for name, dataset in result.datasets.items():
        masked = account.masked_ids() if name == "deals" else []
        named = [
            account.record(name, record_id)[0]
            for record_id in account.ids(name)
            if record_id not in masked
        ]
        orphans = sum("9000" in str(row[DATASETS[name].sideload]) for row in named)
        assert (
            f"ActiveCampaign did not return {orphans} custom field values of {name}"
            in (dataset.warnings[0])
        )
    assert read_status(database).warnings


@pytest.mark.parametrize(
    "options", [AccountOptions(contacts=240, deals=240, rate_limit=None, orphan_share=0.3)]
)
@pytest.mark.parametrize(
    "fault",
    [
        faults.cut_sideload(40),
        faults.drop_sideload().only(lambda call: call.offset == 38, times=2),
        faults.cut_sideload(40, across_records=True),
    ],
    ids=["in pages that are too full", "if a page lags once", "across records"],
)
def test_values_of_a_deleted_field_differ_from_cut_values(
    fault: Fault, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """One record on a cut page proves nothing about the others."""
    account.faults.add(fault)

    assert copy_account().success

    assert account.faults.hits[fault.name]
    assert_exact(database, account)


@pytest.mark.parametrize("options", [AccountOptions(contacts=240, deals=240, rate_limit=None)])
def test_a_page_with_too_many_values_is_read_in_parts(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A request for one record shows that its values exist."""
    account.faults.add(faults.cut_sideload(40))

    assert copy_account().success

    assert_exact(database, account)


@pytest.mark.parametrize("options", [AccountOptions(contacts=240, deals=240, rate_limit=None)])
def test_pages_that_come_thin_now_and_then_lose_nobody(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A page without rows in the middle is not the end."""
    account.faults.add(faults.thin_pages(seed=3, share=0.1).only(DATA))

    assert copy_account().success

    assert account.faults.hits["thin-pages"] > 20
    assert_exact(database, account)


@pytest.mark.parametrize("number", [7, -7])
def test_a_slightly_wrong_total_is_published_with_both_numbers(
    number: int, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The count and the rows come from two queries, and the count can be cached."""
    account.faults.add(faults.add_to_total(number).only(DATA))

    result = copy_account()

    assert_exact(database, account)
    log = last_log(database)
    for name, dataset in result.datasets.items():
        count = len(account.ids(name))
        assert (log[f"{name}_count"], log[f"{name}_expected"]) == (count, count + number)
        assert f"counts {count + number:,} {name}, but {count:,} were read" in dataset.warnings[0]
    assert set(read_status(database).warnings) == {
        text for dataset in result.datasets.values() for text in dataset.warnings
    }


def test_a_total_that_is_stale_for_seconds_costs_nothing(
    copy_account: CopyAccount, account: Account
) -> None:
    """The total is read again before anybody is warned."""
    newest = faults.add_to_total(300).only(
        lambda call: DATA(call) and call.params.get("orders[id]") == "DESC", times=4
    )
    account.faults.add(newest)

    result = copy_account()

    assert result.success
    assert all(dataset.warnings == () for dataset in result.datasets.values())
    assert account.faults.hits["total-+300"] == 4


def test_a_total_that_stays_wrong_blocks_two_syncs(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A page may be missing. After three syncs we take it as the way this account counts."""
    assert copy_account().success
    account.faults.add(faults.add_to_total(300).only(on_path("contacts")))

    for _ in range(2):
        result = copy_account()
        assert not result.datasets["contacts"].success
        assert result.datasets["deals"].success
        assert "counts 1,000 contacts, but 700 were read" in last_log(database)["contacts_error"]
    assert copy_account().datasets["contacts"].warnings
    assert copy_account().datasets["contacts"].warnings

    assert_exact(database, account)
