"""A sync resumes staged slices of a dead one if they are young and were never judged."""

from datetime import timedelta

import pytest

from acsync.readings import Interval
from acsync.results import Sync
from acsync.store.database import Database
from acsync.store.lease import start_sync
from acsync.store.snapshot import published_ids
from acsync.store.staged_plans import adopt_staging, drop_plan, keep_plan, read_resumed
from acsync.store.staging import read_coverage, stage_slice, sweep_staging
from tests.support.syncs import EXPIRE, cut, fetch, people, publish, sync_all

STAGED = """
    select (select count(*) from ac_staged_plans), (select count(*) from ac_staged_slices),
           (select count(*) from ac_staged_contacts)
"""
HALF_AN_HOUR = timedelta(minutes=30)
YOUNG, OLD = 29 * 60.0, 31 * 60.0


def die_copying(database: Database, ages: dict[int, float] | None = None) -> Sync:
    """Start a sync that stages slices of contacts with a read time in the past, and then dies."""
    sync = start_sync(database, "a test", None)
    keep_plan(database, sync, "contacts", "the same", '{"total": 3}')
    for number, age in (ages or {4: 0.0}).items():
        slice_ = cut(database, "contacts", people(number - 3, number - 2), number, age=age)
        stage_slice(database, sync, "contacts", slice_)
    fetch(database, EXPIRE)
    return sync


def succeed(database: Database, basis: str = "the same") -> tuple[Sync, str | None]:
    """Start a sync that resumes the staged slices."""
    sync = start_sync(database, "a test", None)
    return sync, adopt_staging(database, sync, "contacts", basis, HALF_AN_HOUR)


def test_a_successor_resumes_staged_slices(database: Database) -> None:
    """It adopts plan, slices and bodies, and publishes them with the rest."""
    sync_all(database, {"contacts": people(2, phone="1")})
    die_copying(database)

    sync, plan = succeed(database)
    assert plan == '{"total": 3}'
    assert read_coverage(database, sync, "contacts") == {4: Interval(1, 2)}

    stage_slice(database, sync, "contacts", cut(database, "contacts", people(3), number=5))
    assert publish(database, sync, ["contacts"])["contacts"].records == 3
    assert published_ids(database, "contacts") == [1, 2, 3]


def test_a_successor_may_die_as_well(database: Database) -> None:
    """Even if its worker restarts every minute, the copy ends some day."""
    die_copying(database)
    succeed(database)
    fetch(database, EXPIRE)

    sync, plan = succeed(database)

    assert plan == '{"total": 3}'
    assert read_coverage(database, sync, "contacts") == {4: Interval(1, 2)}


def test_each_slice_is_judged_by_its_own_age(database: Database) -> None:
    """In a chain of crashes, new slices are staged while the first ones get old."""
    die_copying(database, {4: OLD, 5: YOUNG})

    sync, plan = succeed(database)

    assert plan == '{"total": 3}'
    assert read_coverage(database, sync, "contacts") == {5: Interval(2, 3)}
    assert fetch(database, STAGED) == [(1, 1, 2)]


def test_a_slice_is_as_old_as_its_oldest_record(database: Database) -> None:
    """A slow slice is staged minutes after its first page was read."""
    sync = start_sync(database, "a test", None)
    keep_plan(database, sync, "contacts", "the same", "{}")
    slice_ = cut(database, "contacts", people(1, 2), age=YOUNG)
    first, second = slice_.asked_at
    slow = type(slice_)(0, slice_.covered, [1, 2], slice_.changed, [first - 120, second])
    stage_slice(database, sync, "contacts", slow)
    fetch(database, EXPIRE)

    assert succeed(database)[1] is None


def test_a_plan_without_a_young_slice_is_made_again(database: Database) -> None:
    """The old plan would save no call."""
    die_copying(database, {4: OLD, 5: OLD})

    assert succeed(database)[1] is None

    assert fetch(database, STAGED) == [(0, 0, 0)]


def test_a_slice_from_the_future_is_not_resumed(database: Database) -> None:
    """If the clock had run ahead, the slice would stay young for hours."""
    die_copying(database)
    fetch(database, "update ac_staged_slices set staged_at = staged_at + interval '1 day'")

    assert succeed(database)[1] is None


def test_a_judged_slice_is_not_resumed(database: Database) -> None:
    """A guard or Postgres refused it, so the next sync has to look again."""
    drop_plan(database, die_copying(database), "contacts")

    assert succeed(database)[1] is None

    assert fetch(database, STAGED) == [(0, 0, 0)]


def test_the_resumed_records_are_counted_with_their_age(database: Database) -> None:
    """People see the age of the oldest one. Records that this sync read do not count."""
    die_copying(database, {4: YOUNG, 5: 60.0})

    sync, _ = succeed(database)
    stage_slice(database, sync, "contacts", cut(database, "contacts", people(9), number=9))
    records, oldest_read = read_resumed(database, sync, "contacts")

    assert records == 4
    assert oldest_read is not None
    assert 0 <= (sync.started_at - oldest_read).total_seconds() - YOUNG < 60


def test_a_publication_knows_its_oldest_read(database: Database) -> None:
    """The age of the published data counts from there."""
    die_copying(database, {4: YOUNG})
    sync, _ = succeed(database)
    publish(database, sync, ["contacts"])

    ((age,),) = fetch(database, "select age from ac_freshness")

    assert timedelta(0) <= age - timedelta(seconds=YOUNG) < timedelta(minutes=1)


def test_staging_with_another_basis_is_swept(database: Database) -> None:
    """With another account, page size or field, the slices have another meaning."""
    die_copying(database)

    assert succeed(database, "another")[1] is None

    assert fetch(database, STAGED) == [(0, 0, 0)]


@pytest.mark.parametrize(
    "change",
    [
        "insert into ac_published "
        "select 'contacts', max(id), 'x', now(), 1, 1, now() from ac_sync_logs",
        "update ac_staged_plans set planned_at = planned_at - interval '25 hours'",
    ],
    ids=["published since", "a day old"],
)
def test_staging_of_no_use_is_swept_at_the_start(database: Database, change: str) -> None:
    """Differences to an older snapshot must not be published, or fill the disk."""
    die_copying(database)
    fetch(database, change)

    sync = start_sync(database, "a test", None)

    assert fetch(database, STAGED) == [(0, 0, 0)]
    assert adopt_staging(database, sync, "contacts", "the same", HALF_AN_HOUR) is None


def test_a_sync_of_deals_alone_keeps_staged_contacts(database: Database) -> None:
    """The next sync of contacts resumes there."""
    die_copying(database)
    sync = start_sync(database, "a test", None)
    stage_slice(database, sync, "deals", cut(database, "deals", [{"id": "7"}]))
    publish(database, sync, ["deals"])
    sweep_staging(database, sync, ["deals"])
    fetch(database, EXPIRE)

    assert fetch(database, STAGED) == [(1, 1, 2)]
    assert succeed(database)[1] == '{"total": 3}'
