"""What a dead sync staged is used by its successor, or swept: never half of each."""

import pytest

from acsync.models import Interval, Sync
from acsync.store.database import Database
from acsync.store.lease import start_sync
from acsync.store.snapshot import published_ids
from acsync.store.staging import adopt_staging, keep_plan, read_coverage, stage_slice
from tests.support.store_syncs import EXPIRE, cut, fetch, people, publish, sync_all

STAGED = """
    select (select count(*) from ac_staged_plans), (select count(*) from ac_staged_slices),
           (select count(*) from ac_staged_contacts)
"""
STALE = """
    update ac_staged_plans set planned_at = clock_timestamp() - interval '151 minutes';
    update ac_staged_slices set staged_at = clock_timestamp() - interval '151 minutes'
"""


def die_copying(database: Database) -> Sync:
    """Start a sync that stages one slice of contacts, and then is heard of no more."""
    sync = start_sync(database, "a test", None)
    keep_plan(database, sync, "contacts", "the same", '{"total": 3}')
    stage_slice(database, sync, "contacts", cut(database, "contacts", people(1, 2), number=4))
    fetch(database, EXPIRE)
    return sync


def test_a_successor_goes_on_with_what_is_staged(database: Database) -> None:
    """Plan, slices and bodies become its own, and are published with what it adds."""
    sync_all(database, {"contacts": people(2, phone="1")})
    die_copying(database)
    sync = start_sync(database, "a test", None)

    plan = adopt_staging(database, sync, "contacts", "the same")
    assert plan == '{"total": 3}'
    assert read_coverage(database, sync, "contacts") == {4: Interval(1, 2)}

    stage_slice(database, sync, "contacts", cut(database, "contacts", people(3), number=5))
    assert publish(database, sync, ["contacts"])["contacts"].records == 3
    assert published_ids(database, "contacts") == [1, 2, 3]


def test_a_successor_may_die_as_well(database: Database) -> None:
    """A worker that is restarted every minute still ends some day."""
    die_copying(database)
    adopt_staging(database, start_sync(database, "a test", None), "contacts", "the same")
    fetch(database, EXPIRE)
    sync = start_sync(database, "a test", None)

    assert adopt_staging(database, sync, "contacts", "the same") == '{"total": 3}'
    assert read_coverage(database, sync, "contacts") == {4: Interval(1, 2)}


def test_staging_with_another_basis_is_swept(database: Database) -> None:
    """Another account, page size or field: its slices mean something else."""
    die_copying(database)
    sync = start_sync(database, "a test", None)

    assert adopt_staging(database, sync, "contacts", "another") is None

    assert fetch(database, STAGED) == [(0, 0, 0)]


@pytest.mark.parametrize(
    "change",
    [
        STALE,
        "insert into ac_published select 'contacts', max(id), 'x', now(), 1, 1 from ac_sync_logs",
    ],
    ids=["hours old", "published since"],
)
def test_staging_that_proves_nothing_any_more_is_swept_at_the_start(
    database: Database, change: str
) -> None:
    """Differences to an older snapshot, or from long ago, must not be published."""
    die_copying(database)
    fetch(database, change)

    sync = start_sync(database, "a test", None)

    assert fetch(database, STAGED) == [(0, 0, 0)]
    assert adopt_staging(database, sync, "contacts", "the same") is None
