"""An incremental sync publishes what changed since the last published one, at a few calls."""

from typing import Any

import pytest

from acsync.datasets import DATASETS
from acsync.models import SyncResult
from acsync.settings import read_settings
from acsync.simulator.account import Account, AccountOptions
from acsync.store.database import Database
from tests.support.fixtures import CopyAccount
from tests.support.syncs import (
    assert_exact,
    compare_copy,
    run_incremental,
)

SMALL = {"contacts": 300, "deals": 250, "rate_limit": None}


def small(**options: Any) -> AccountOptions:
    return AccountOptions(**(SMALL | options))


def read_changes() -> SyncResult:
    return run_incremental(read_settings())


def changes_of(result: SyncResult) -> dict[str, tuple[int, int]]:
    return {
        name: (dataset.changes.added, dataset.changes.updated)
        for name, dataset in result.datasets.items()
        if dataset.changes
    }


@pytest.mark.parametrize(
    "options", [small(), small(clock_offset_seconds=-420.0), small(date_filter="days")], ids=str
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
