"""An incremental sync publishes what changed since the last published one, at a few calls."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pytest

from acsync.activecampaign.changes import MAX_UNDATED
from acsync.datasets import DATASETS, Record
from acsync.errors import NoFullSync
from acsync.results import Recall, SyncResult
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import BAD_GATEWAY, Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from acsync.store.incremental_state import read_start
from acsync.store.lease import keep_lease, start_sync
from acsync.store.sync_history import read_totals
from acsync.store.sync_status import read_status
from acsync.sync import incremental
from acsync.sync.context import SyncContext, open_sync
from acsync.sync.incremental import Changed
from acsync.sync.publish import publish
from acsync.sync.report import report_lines
from tests.support.calls import is_by_date, on_path
from tests.support.faults import add_to_total, body_fault, ignore_parameter, lag_behind, status
from tests.support.fixtures import CopyAccount
from tests.support.syncs import (
    assert_exact,
    compare_copy,
    copy_slices,
    fetch,
    last_log,
    run_incremental,
)

SUMMER, WINTER = datetime(2026, 9, 29, tzinfo=UTC), datetime(2026, 11, 28, tzinfo=UTC)

# With many tags, no change takes the last one of a contact.
SMALL = {"contacts": 300, "deals": 250, "tags": 60, "rate_limit": None}


def small(**options: Any) -> AccountOptions:
    return AccountOptions(**(SMALL | options))


@pytest.fixture
def options() -> AccountOptions:
    return small(contacts=700, deals=600)


def read_changes() -> SyncResult:
    return run_incremental(read_settings())


def changes_of(result: SyncResult) -> dict[str, tuple[int, int]]:
    return {
        name: (dataset.changes.added, dataset.changes.updated)
        for name, dataset in result.datasets.items()
        if dataset.changes
    }


@pytest.mark.parametrize(
    "options",
    [
        small(),
        small(clock_offset_seconds=-420.0),
        small(date_filter="days"),
        small(date_filter="local"),
    ],
    ids=str,
)
def test_changes_are_published_at_a_few_calls(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """New, changed and doubly changed records are there; those deleted stay until a full sync."""
    copy_account()
    added = {name: served_account.add(name, 2) for name in DATASETS}
    for name in DATASETS:
        served_account.change(name, served_account.ids(name)[:3])
    first = read_changes()
    for name in DATASETS:
        served_account.change(name, [*added[name], served_account.ids(name)[0]])
    gone = served_account.delete("contacts", served_account.ids("contacts")[5:6])
    second = read_changes()

    assert changes_of(first) == {"contacts": (2, 3), "deals": (2, 3)}
    assert changes_of(second) == {"contacts": (0, 3), "deals": (0, 3)}
    assert first.calls.calls <= 12
    assert second.calls.calls <= 8
    compared = compare_copy(database, served_account)
    assert compared["deals"].exact
    assert (compared["contacts"].missing, compared["contacts"].invented) == (0, len(gone))
    assert not compared["contacts"].differing

    copy_account()
    assert_exact(database, served_account)


@pytest.mark.parametrize(
    ("fault", "name", "mode"),
    [
        (ignore_parameter("filters"), "contacts", "ignored"),
        (status(422), "contacts", "refused"),
        (ignore_parameter("orders"), "deals", "ignored"),
    ],
    ids=["ignored", "refused", "without order"],
)
def test_an_account_that_ignores_dates_is_noticed(
    copy_account: CopyAccount,
    served_account: Account,
    database: Database,
    fault: Fault,
    name: str,
    mode: str,
) -> None:
    """One call shows it. Incremental syncs wait for the next full one, and warn in the status."""
    served_account.faults.add(fault.only(lambda call: call.path == name and is_by_date(call)))
    copy_account()
    served_account.change("contacts", 2)
    served_account.change("deals", 2)
    calls = served_account.statistics.by_path.copy()

    first = read_changes()
    noticed = served_account.statistics.by_path[name] - calls[name]
    second = read_changes()

    assert first.success
    assert noticed <= 2
    assert served_account.statistics.by_path[name] - calls[name] == noticed
    other = next(each for each in DATASETS if each != name)
    assert changes_of(second)[other] == (0, 0)
    assert fetch(database, "select date_filter from ac_incremental where reason is not null") == [
        (mode,)
    ]
    status = read_status(database)
    assert status.latest
    assert status.latest.success
    assert [warning for warning in status.warnings if "not read incrementally" in warning]

    copy_account()
    assert_exact(database, served_account)
    read_changes()
    assert served_account.statistics.by_path[name] > calls[name] + noticed


@pytest.mark.parametrize("options", [small(date_filter="local")])
def test_no_change_hides_behind_a_clock_change(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """The last known date is of summer. Its offset would put the bound into the future."""
    newest = served_account.ids("contacts")[-3:]
    served_account.clock_offset = (SUMMER - datetime.now(UTC)).total_seconds()
    served_account.change("contacts", newest)
    served_account.clock_offset = (WINTER - datetime.now(UTC)).total_seconds()
    copy_account()
    served_account.change("contacts", 5)

    assert changes_of(read_changes())["contacts"] == (0, 5)
    assert fetch(database, "select date_filter from ac_incremental") == [("times",), ("times",)]
    assert_exact(database, served_account)


def test_a_total_that_is_too_low_hides_no_change(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """Accounts cache their counts, so another page is read after each full one."""
    copy_account()
    for name in DATASETS:
        served_account.change(name, 25)
    served_account.faults.add(add_to_total(-240).only(is_by_date))

    assert changes_of(read_changes()) == {"contacts": (0, 25), "deals": (0, 25)}
    assert_exact(database, served_account)


@pytest.mark.parametrize("options", [small(masked_share=1.0)])
def test_deals_without_dates_are_not_all_read(
    copy_account: CopyAccount, served_account: Account
) -> None:
    """A key that sees no deal gets no date, and the collection can have thousands of pages."""
    copy_account()
    calls = served_account.statistics.by_path["deals"]

    result = read_changes()

    assert served_account.statistics.by_path["deals"] - calls == MAX_UNDATED
    assert [text for text in result.datasets["deals"].warnings if "have no mdate" in text]
    assert result.success


def test_a_lagging_replica_hides_nothing_for_good(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """The last two minutes are read again. A full sync believes older dates after 15 minutes."""
    copy_account()
    changed = served_account.change("contacts", 4)
    served_account.faults.add(lag_behind(changed).only(is_by_date))
    assert changes_of(read_changes())["contacts"] == (0, 0)
    served_account.faults.clear()
    assert changes_of(read_changes())["contacts"] == (0, 4)

    # A replica that lags more than before shows the contacts as they were.
    lagging = Fault("lags", when=on_path("contacts"), reply=dated_back(changed[0]))
    served_account.faults.add(lagging)
    assert changes_of(read_changes())["contacts"] == (0, 0)
    assert changes_of(copy_account())["contacts"] == (0, 0)
    assert_exact(database, served_account)

    # The account has gone back to a backup.
    fetch(database, "update ac_contact_versions set read_at = read_at - interval '16 min'")
    assert changes_of(copy_account())["contacts"] == (0, 1)
    served_account.faults.clear()
    copy_account()
    assert_exact(database, served_account)


def dated_back(contact: int) -> Any:
    def change(_call: Call, body: Record) -> None:
        for row in body["contacts"]:
            if row["id"] == str(contact):
                row |= {"phone": "an older one", "udate": "2021-01-01T00:00:00-06:00"}

    return body_fault("", change).reply


@pytest.mark.parametrize("options", [small(undated=("custom fields",))])
def test_two_changes_in_one_second_are_both_published(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """The second has the date of the first, which was read in between."""
    copy_account()
    (contact,) = served_account.change("contacts", 1)
    read_changes()
    served_account.change_part("contacts", "custom fields", [contact])

    assert changes_of(read_changes())["contacts"] == (0, 1)
    assert_exact(database, served_account)


def test_nothing_slips_past_a_crash(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """The next bound is that of the last published read, for each dataset."""
    copy_account()
    fetch(database, "update ac_published set server_time = server_time - interval '1 day'")
    before = read_start(database, "deals")
    served_account.change("contacts", 3)
    served_account.change("deals", 3)
    served_account.faults.add(Fault("deals fail", when=on_path("deals"), reply=BAD_GATEWAY))
    result = read_changes()

    assert changes_of(result) == {"contacts": (0, 3)}
    assert not result.success
    assert read_start(database, "deals") == before

    served_account.faults.clear()
    settings = read_settings()
    opened = open_sync(settings, settings.datasets, holder="a test", kind="incremental")
    with pytest.raises(KeyboardInterrupt):
        die_after(opened, read_all)
    assert read_start(database, "deals") == before
    assert last_log(database)["overall_success"] is False

    assert changes_of(read_changes()) == {"contacts": (0, 0), "deals": (0, 3)}
    assert_exact(database, served_account)
    assert fetch(database, "select count(*) from ac_staged_slices") == [(0,)]


def test_a_crash_of_postgres_loses_no_change(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """It empties unlogged tables. Publishing nothing would move the start past the changes."""
    copy_account()
    served_account.change("contacts", 3)
    before = read_at(database)
    settings = read_settings()
    with open_sync(settings, ("contacts",), holder="a test", kind="incremental") as context:
        changed = read_all(context)
        fetch(database, "truncate ac_staged_contacts, ac_staged_deals, ac_staged_slices")
        result = publish(context, changed, {})

    assert "Of 1 slices of contacts" in (result.datasets["contacts"].error or "")
    assert read_at(database) == before
    assert changes_of(read_changes())["contacts"] == (0, 3)
    assert_exact(database, served_account)


@pytest.mark.parametrize(
    "options", [small(undated=("tags", "lists", "custom fields"), contacts=600)]
)
def test_a_full_sync_counts_what_moved_no_date(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """Changes after the last incremental sync that moved the date are not due yet."""
    copy_account()
    ids, deals = served_account.ids("contacts"), served_account.ids("deals")
    served_account.change("contacts", ids[:7])
    served_account.add("contacts", 2)
    served_account.delete("contacts", ids[-1:])
    read_changes()
    lost = {
        "tags": len(served_account.change_part("contacts", "tags", ids[:3])),
        "lists": len(served_account.change_part("contacts", "lists", ids[50:55])),
        "custom fields": len(served_account.change_part("contacts", "custom fields", ids[90:92])),
    }
    served_account.change_part("deals", "custom fields", deals[:1])
    read_changes()
    served_account.change("contacts", ids[100:120])
    result = copy_account()

    # The incremental sync reads the last two minutes again, so it saw the tags of those changed.
    lost_tags = lost.pop("tags")
    assert result.datasets["contacts"].recall == Recall(9 + lost_tags, lost)
    assert result.datasets["deals"].recall == Recall(0, {"custom fields": 1})
    lines = "\n".join(report_lines(result))
    assert (
        "contacts: incremental syncs saw 12 of 19 changes since the last full sync; "
        "7 moved no date (custom fields 2, lists 5)" in lines
    )
    assert read_status(database).recent[0].datasets["deals"].recall == Recall(
        0, {"custom fields": 1}
    )
    assert copy_account().datasets["contacts"].recall is None


def test_a_full_sync_that_resumes_overwrites_nothing_newer(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """Its older slices keep their other records, so no page is read again."""
    copy_account()
    ids = served_account.ids("contacts")
    served_account.change("contacts", ids[:20])
    opened = open_sync(read_settings(), ("contacts",), holder="a test")
    with pytest.raises(KeyboardInterrupt):
        die_after(opened, lambda context: copy_slices(context, "contacts"))
    served_account.change("contacts", ids[10:30])
    (added,) = served_account.add("contacts")
    assert changes_of(read_changes())["contacts"] == (1, 30)
    read_at = "select read_at from ac_contact_versions where valid_to is null order by record_id"
    before = fetch(database, read_at)
    calls = served_account.statistics.by_path["contacts"]

    result = copy_account("contacts")

    assert served_account.statistics.by_path["contacts"] - calls < 8
    assert [text for text in result.datasets["contacts"].warnings if "taken over" in text]
    assert fetch(database, read_at) == before
    assert compare_copy(database, served_account)["contacts"].exact
    assert added in served_account.ids("contacts")


def test_old_rows_are_summed_up(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """The history keeps what changed something; sums of all calls never fall."""
    copy_account()
    for change in (0, 2, 0, 0):
        served_account.change("contacts", change)
        read_changes()
    with database.begin() as connection:
        before = read_totals(connection)
    kinds = "select data_type, kind, count(*) from ac_published group by 1, 2 order by 1, 2"
    assert fetch(database, kinds) == [
        ("contacts", "full", 1),
        ("contacts", "incremental", 2),
        ("deals", "full", 1),
        ("deals", "incremental", 1),
    ]
    fetch(
        database,
        "update ac_sync_logs set finished_at = finished_at - interval '2 days' "
        "where kind = 'incremental'",
    )
    copy_account()
    with database.begin() as connection:
        after = read_totals(connection)

    log = "select kind, count(*), sum(contacts_updated) from ac_sync_logs group by 1 order by 1"
    assert fetch(database, log)[1][1:] == (2, 2)
    assert after.changes == before.changes
    assert after.calls > before.calls
    assert (before.succeeded, after.succeeded) == (1, 2)
    assert fetch(database, "select total_syncs from ac_sync_statistics") == [(2,)]
    changes = "select change, count(*) from ac_changes group by 1 order by 1"
    assert fetch(database, changes) == [("added", 1300), ("updated", 2)]


def test_history_is_kept_for_a_number_of_full_syncs(
    copy_account: CopyAccount,
    served_account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Incremental syncs would push them out within minutes."""
    monkeypatch.setenv("ACSYNC_KEEP_SYNCS", "2")
    for _ in range(3):
        copy_account()
        for _ in range(3):
            served_account.change("contacts", 2)
            read_changes()

    kept = "select kind from ac_published where data_type = 'contacts' order by sync_no"
    assert [kind for (kind,) in fetch(database, kept)] == [
        *("full", "incremental", "incremental", "incremental"),
        *("full", "incremental", "incremental", "incremental"),
    ]
    assert fetch(database, "select count(*) from ac_contact_versions where valid_to is not null")


def test_a_new_owner_and_a_new_field_have_their_names(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """Only the listing that lacks an id is read again, and only once."""
    copy_account()
    fetch(database, "delete from ac_dimensions where dimension in ('users', 'contact_fields')")
    paths = served_account.statistics.by_path
    before = paths.copy()
    served_account.change("contacts", 5)
    served_account.change("deals", 5)

    read_changes()
    first = paths - before
    served_account.change("contacts", 5)
    served_account.change("deals", 5)
    read_changes()

    assert (first["users"], first["fields"], first["dealStages"]) == (1, 1, first["dealStages"])
    assert paths["users"] - before["users"] <= 2
    assert paths["fields"] - before["fields"] == 1
    assert_exact(database, served_account)


def die_after(
    opened: AbstractContextManager[SyncContext], act: Callable[[SyncContext], object]
) -> None:
    with opened as context:
        act(context)
        raise KeyboardInterrupt


def read_at(database: Database) -> datetime | None:
    start = read_start(database, "contacts")
    return start.read_at if start else None


def read_all(context: SyncContext) -> list[Changed]:
    starts = incremental.require_starts(context)
    return [incremental.read_changes(context, name, start) for name, start in starts.items()]


def test_without_a_full_sync_there_is_nothing_to_start_from(
    served_account: Account, database: Database
) -> None:
    """Also after an upgrade, until the next full sync."""
    with pytest.raises(NoFullSync, match="Run: acsync sync"):
        read_changes()

    assert served_account.statistics.calls == 0
    assert last_log(database)["kind"] == "incremental"
    assert read_status(database).latest is None


def test_a_lost_permission_is_left_to_the_full_sync(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """A few records at a time would get around the guard. Those that lost nothing go on."""
    copy_account()
    counts = fetch(database, COUNT_PARTS)
    for keys in KEYS:
        served_account.change("contacts", 9)
        served_account.change("deals", 9)
        served_account.faults.add(send_without(*keys))
        assert read_changes().success
        served_account.faults.clear()
        assert fetch(database, COUNT_PARTS) == counts
    assert fetch(database, "select count(*) from ac_staged_slices") == [(0,)]

    assert changes_of(read_changes())["contacts"][1] > 9
    assert_exact(database, served_account)


# What comes along with a record, in one array or two.
KEYS = [("fieldValues", "dealCustomFieldData"), ("contactTags", "tags"), ("contactLists",)]
COUNT_PARTS = """
    select 'contacts', count(*) filter (where custom_fields <> '{}'),
           count(*) filter (where tags <> '{}'), count(*) filter (where lists <> '[]')
    from ac_contacts
    union all
    select 'deals', count(*) filter (where custom_fields <> '{}'), 0, 0 from ac_deals
    order by 1
"""


def send_without(*keys: str) -> Fault:
    def change(_call: Call, body: Record) -> None:
        for holder in (body, *body.get("contacts", ()), *body.get("deals", ())):
            holder.update({key: [] for key in keys if key in holder})

    return body_fault("blind", change)


@pytest.mark.parametrize("options", [small(tags=2)])
def test_a_last_tag_that_is_removed_waits_for_another_tag(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """Alone it looks like a lost permission. Another contact's tags show that the key sees tags."""
    copy_account()
    tags = "select count(*) from ac_contacts where contact_id = any(:contacts) and tags <> '{}'"
    *contacts, tagged = [
        contact
        for (contact,) in fetch(
            database, "select contact_id from ac_contacts where tags <> '{}' order by 1 limit 4"
        )
    ]

    for contact in contacts:
        while served_account.related(contact)["tags"]:
            served_account.change_part("contacts", "tags", [contact])
    assert changes_of(read_changes())["contacts"] == (0, 0)
    assert fetch(database, tags, contacts=contacts) == [(3,)]

    served_account.change("contacts", [tagged])
    while not served_account.related(tagged)["tags"]:
        served_account.change_part("contacts", "tags", [tagged])
    assert changes_of(read_changes())["contacts"] == (0, 4)
    assert fetch(database, tags, contacts=contacts) == [(0,)]
    assert_exact(database, served_account)


def test_contacts_wait_for_their_tags(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """Published without them, they would not be read again. An account may never send them."""
    copy_account()
    served_account.add("contacts", 5)
    without_tags = status(400).only(
        lambda call: call.path == "contacts" and call.includes_any("contactTags")
    )
    served_account.faults.add(without_tags)
    failed = read_changes()
    served_account.faults.clear()

    assert "did not send tags along with the contacts" in (failed.datasets["contacts"].error or "")
    assert changes_of(read_changes())["contacts"] == (5, 0)
    assert_exact(database, served_account)

    served_account.faults.add(without_tags)
    copy_account()
    # The log has them as a value, whatever its warning says.
    left_out = "update ac_sync_logs set contacts_warnings = null returning contacts_left_out"
    assert fetch(database, left_out)[-1] == (["tags"],)
    served_account.change("contacts", 5)
    assert changes_of(read_changes())["contacts"] == (0, 5)


@pytest.mark.parametrize("kept", [0, 2])
def test_a_lost_listing_takes_no_names_away(
    kept: int, copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """The key may have lost a permission, and the next full sync judges it."""
    copy_account()
    fetch(database, FORGET_FIELD)
    listed, nameless = fetch(database, LISTED), fetch(database, NAMELESS)

    def lose(_call: Call, body: Record) -> None:
        body["fields"] = body["fields"][:kept]
        body["meta"]["total"] = str(kept)

    served_account.faults.add(body_fault("loses fields", lose).only(on_path("fields")))
    served_account.change("contacts", 20)
    result = read_changes()

    assert served_account.faults.hits["loses fields"] == 1
    assert changes_of(result)["contacts"] == (0, 20)
    assert fetch(database, LISTED) == listed
    assert fetch(database, NAMELESS)[0][0] <= nameless[0][0] + 1
    served_account.faults.clear()
    copy_account()
    assert_exact(database, served_account)


FORGET_FIELD = """
    delete from ac_dimensions where dimension = 'contact_fields' and id = (
        select max(id) from ac_dimensions where dimension = 'contact_fields'
    )
"""
LISTED = "select id from ac_dimensions where dimension = 'contact_fields' and is_listed order by 1"
NAMELESS = """
    select count(distinct field ->> 'fieldId') from ac_contacts
    cross join lateral jsonb_path_query(record, '$.customFields.*') as field
    where field ->> 'fieldType' is null
"""


def test_a_full_sync_waits_for_an_incremental_one(
    copy_account: CopyAccount, served_account: Account, database: Database
) -> None:
    """Both are scheduled at the same second. The shorter one must not keep the other out."""
    running = start_sync(database, "a test", None, "incremental")

    def end_soon() -> None:
        with keep_lease(database, running):
            time.sleep(3)

    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(end_soon)
        result = copy_account()
        ended.result()

    assert result.success
    assert_exact(database, served_account)
