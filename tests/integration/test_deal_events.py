"""The optional dataset deal_events: what happened to deals before the first sync, and since."""

from collections.abc import Iterator
from datetime import datetime

import pytest

from acsync.simulator.account import Account, AccountOptions
from acsync.simulator.expected import expected_events
from acsync.store.database import Database
from tests.support.calls import Churn
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch

EVENTS = "select id, deal_id, kind, was, became, happened_at from ac_deal_events order by id"

SMALL = AccountOptions(contacts=40, deals=300, rate_limit=None)


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with some 600 events."""
    return SMALL


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACSYNC_DATASETS", "contacts,deals,deal_events")


def of_order(**changes: object) -> AccountOptions:
    return AccountOptions(contacts=40, deals=300, rate_limit=None, **changes)  # type: ignore[arg-type]


@pytest.fixture
def churn(account: Account) -> Iterator[Churn]:
    """Change the account all the time, mostly its deals' stages."""
    with Churn(account, 60, adds=1, changes=8, deletes=1) as running:
        yield running


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
    with Churn(account, 60, adds=1, changes=8, deletes=1):
        assert copy_account().success
        assert copy_account("deals").success
    for _ in range(4):
        result = copy_account("deals")
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
