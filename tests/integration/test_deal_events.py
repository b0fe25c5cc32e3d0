"""The optional dataset deal_events: what happened to deals before the first sync, and since."""

from datetime import datetime
from itertools import pairwise, zip_longest
from typing import Any

import pytest

from acsync.preflight.account_checks import check_account
from acsync.preflight.database_checks import Known
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Call
from acsync.store.database import Database
from acsync.sync.report import report_lines
from tests.support import faults
from tests.support.calls import Churn, on_path
from tests.support.expected import expected_events, expected_stays
from tests.support.fixtures import CopyAccount, Sync
from tests.support.postgres import execute
from tests.support.syncs import assert_exact, fetch, last_log

EVENTS = "select id, deal_id, kind, was, became, happened_at from ac_deal_events order by id"

SMALL = AccountOptions(contacts=40, deals=300, rate_limit=None)


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with some 600 events."""
    return SMALL


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACSYNC_DATASETS", "contacts,deals,deal_events")


def of_order(**changes: Any) -> AccountOptions:
    return AccountOptions(contacts=40, deals=300, rate_limit=None, **changes)


@pytest.mark.parametrize(
    "options",
    [
        of_order(activity_order="ascending"),
        of_order(activity_order="none"),
        of_order(activity_order="descending", activities="unfiltered"),
        of_order(activity_order="none", activities="unfiltered"),
    ],
    ids=lambda options: f"{options.activity_order} {options.activities}",
)
def test_every_event_is_stored_once_in_any_order(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Pages move while they are read: people move deals, close them and delete them."""
    with Churn(account, 25, adds=2, changes=16, deletes=1):
        assert copy_account().success
        assert copy_account("deals", accept_shrink=True).success
    for _ in range(3):
        result = copy_account("deals", accept_shrink=True)
        assert result.success
        assert result.datasets["deals"].warnings == ()

    stored = fetch(database, EVENTS)
    expected = [(*values, datetime.fromisoformat(at)) for *values, at in expected_events(account)]
    alive = {*account.ids("deals")}
    assert [row for row in stored if row[1] in alive] == expected
    assert len(expected) > 500
    assert result.events
    assert result.events.complete_at
    assert result.events.stored == len(stored)


STAYS = """
    select deal_id, stage_id, status, entered_at, left_at, is_baseline from of_a_user
    order by deal_id, entered_at
"""
# Nobody knows what happened to a deal before the oldest event.
CREATED = """
    select deal_id, created_at from ac_deals
    where created_at >= (select min(happened_at) from ac_deal_events)
"""


def read_stays(database: Database) -> dict[int, list[tuple[Any, ...]]]:
    stays: dict[int, list[tuple[Any, ...]]] = {}
    for deal, *values in fetch(database, STAYS):
        stays.setdefault(deal, []).append(tuple(values))
    return stays


def is_stay(stay: tuple[Any, ...], later: tuple[Any, ...] | None) -> bool:
    return stay[2] is not None and (later is None or stay[2] < later[2])


def test_stays_from_before_the_copy_come_from_events(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """What syncs saw is not changed, and a view of a user shows the past too."""
    execute(database, "create view of_a_user as select * from ac_deal_stages")
    copy_account("deals")
    ((first,),) = fetch(database, "select max(synced_at) from ac_published")
    gone = account.delete("deals", 5)
    visible = {*account.ids("deals")} - {*account.masked_ids()}
    history = {deal: known for deal, known in expected_stays(account).items() if deal in visible}
    moved = account.change("deals", sorted(visible)[:20])

    assert copy_account("deals").datasets["deals"].warnings == ()

    stays = read_stays(database)
    created = dict(fetch(database, CREATED))
    assert len(history) > 250
    for deal, known in history.items():
        began = [(stage, status, at or created.get(deal)) for stage, status, at in known]
        # A deal that moved in the second of its creation was nowhere before.
        began = [stay for stay, later in zip_longest(began, began[1:]) if is_stay(stay, later)]
        past = [stay for stay in stays[deal] if stay[2] < first]
        assert [(stage, status, at) for stage, status, at, *_ in past] == began
        assert not any(is_baseline for *_, is_baseline in past)
        assert all(stay[3] == later[2] for stay, later in pairwise(stays[deal]))
    later = [stay for deal in moved for stay in stays[deal] if stay[2] > first]
    assert len(later) > 10
    assert all(len(stays[deal]) == 1 for deal in visible - {*history, *moved})
    assert {stays[deal][-1][3] is None for deal in gone} == {False}

    copy_account("deals")
    assert read_stays(database) == stays


def test_closing_times_from_before_the_copy_come_from_events(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """A deal closes when its status changes, not with a later move."""
    copy_account("deals")
    copy_account("deals")

    closed = dict(fetch(database, "select deal_id, closed_at from ac_deals where not is_masked"))
    history = {deal: stays for deal, stays in expected_stays(account).items() if deal in closed}
    assert len(history) > 250
    for deal, stays in history.items():
        status = stays[-1][1]
        others = [place for place, stay in enumerate(stays) if stay[1] != status]
        at = stays[others[-1] + 1][2] if others else None
        assert closed[deal] == (None if status == "open" else at)


def test_a_long_history_is_read_in_portions(
    account: Account,
    copy_account: CopyAccount,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first reading must not hold up the syncs, and the report says how far it is."""
    account.faults.add(faults.page_cap(4).only(on_path("dealActivities")))
    monkeypatch.setenv("AC_RATE_LIMIT", "1000")

    first = copy_account("deals")
    calls = account.statistics.by_path["dealActivities"]

    assert calls < 110
    assert first.events
    assert first.events.complete_at is None
    assert fetch(database, "select count(*) from ac_deal_stages where not is_baseline") == [(0,)]
    lines = [line for line in report_lines(first) if line.startswith("deal_events: ")]
    assert len(lines) == 1
    assert "% of about" in lines[0]

    results = [copy_account("deals") for _ in range(4)]
    assert results[-1].events
    assert results[-1].events.complete_at
    assert results[-1].events.new == 0
    assert fetch(database, "select count(*) from ac_deal_events") == [
        (len(expected_events(account)),)
    ]
    before = account.statistics.by_path["dealActivities"]
    copy_account("deals")
    assert account.statistics.by_path["dealActivities"] - before < 40


REFUSALS = [
    pytest.param(of_order(activities="refused"), None, id="no permission"),
    pytest.param(of_order(activities="missing"), None, id="no such path"),
    pytest.param(SMALL, faults.forbidden(), id="an empty 403"),
    pytest.param(SMALL, faults.html(403), id="a web page"),
    pytest.param(SMALL, faults.html(500), id="an error"),
    pytest.param(SMALL, faults.send_no_rows(), id="counted but not sent"),
    pytest.param(SMALL, faults.ignore_parameter("offset"), id="offset ignored"),
    pytest.param(SMALL, faults.record_without_id(), id="a row without an id"),
]


@pytest.mark.parametrize(("options", "fault"), REFUSALS)
def test_deals_are_copied_without_events_that_cannot_be_read(
    account: Account, copy_account: CopyAccount, database: Database, fault: Fault | None
) -> None:
    """One warning says so; contacts and deals are complete."""
    if fault:
        account.faults.add(fault.only(on_path("dealActivities")))

    result = copy_account()

    assert result.success
    assert_exact(database, account)
    (warning,) = result.datasets["deals"].warnings
    assert warning.startswith("deal_events were not read")
    assert result.datasets["contacts"].warnings == ()


@pytest.mark.parametrize("names", [("orders",), ("filters",), ("orders", "filters")])
def test_refused_parameters_are_left_out(
    names: tuple[str, ...], account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Newer endpoints answer 422 to what they do not know."""

    def is_asked(call: Call) -> bool:
        return any(key.split("[")[0] in names for key in call.params)

    refused = faults.status(422).only(
        lambda call: on_path("dealActivities")(call) and is_asked(call)
    )
    account.faults.add(refused)

    result = copy_account("deals")

    assert account.faults.hits[refused.name]
    assert result.datasets["deals"].warnings == ()
    assert fetch(database, "select count(*) from ac_deal_events") == [
        (len(expected_events(account)),)
    ]


def test_a_table_that_refuses_past_stays_holds_up_no_deal(
    copy_account: CopyAccount, database: Database
) -> None:
    """They are filled last, in a separate transaction."""
    copy_account("deals")
    execute(database, "alter table ac_deal_stages add check (is_baseline) not valid")

    result = copy_account("deals")

    assert result.success
    (warning,) = result.datasets["deals"].warnings
    assert warning.startswith("ac_deal_stages was not filled")
    assert last_log(database)["deals_warnings"] == [warning]


@pytest.mark.usefixtures("served_account")
@pytest.mark.parametrize(
    ("options", "found"),
    [
        (SMALL, [("filter", "ok", "It works"), ("order", "ok", "By id, ascending")]),
        (
            of_order(activity_order="descending", activities="unfiltered"),
            [("filter", "ok", "It is ignored"), ("order", "ok", "By id, descending")],
        ),
        (
            of_order(activity_order="none"),
            [("filter", "ok", "It works"), ("order", "warning", "no order")],
        ),
        (of_order(activities="refused"), [("", "warning", "status 403")]),
        (of_order(activities="missing"), [("", "warning", "status 404")]),
    ],
)
def test_a_check_says_how_the_events_can_be_read(found: list[tuple[str, str, str]]) -> None:
    """One line on the filter and one on the order: they decide what the syncs cost."""
    results = [
        result
        for result in check_account(read_settings(), Known())
        if result.check.startswith("/dealActivities")
    ]

    assert len(results) == len(found)
    for result, (name, status, seen) in zip(results, found, strict=True):
        assert result.check.endswith(name)
        assert result.status == status
        assert seen in result.seen


def test_the_flow_reads_events_beside_the_slices(
    sync: Sync, account: Account, database: Database
) -> None:
    """The timeline shows one task, and the report one line."""
    state = sync()

    assert state.is_completed()
    stored = len(expected_events(account))
    assert f"deal_events: {stored:,} stored, {stored:,} new" in (state.message or "")
    assert fetch(database, "select count(*) from ac_deal_events") == [(stored,)]
