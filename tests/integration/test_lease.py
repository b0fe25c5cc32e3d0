"""One sync runs at a time, and the log says how each one ended."""

import json
import threading
import time
from collections.abc import Callable
from decimal import Decimal

import pytest

from acsync.datasets import DatasetName
from acsync.errors import LeaseHeld, LeaseLost, StoreError
from acsync.readings import Pace
from acsync.results import CallCounts, Changes, DatasetResult, Sync, SyncProgress
from acsync.store.database import Database, copy_rows, run
from acsync.store.lease import keep_lease, require_lease, start_sync
from acsync.store.publish import publish_dataset
from acsync.store.snapshot import published_ids
from acsync.store.staging import read_coverage, stage_slice, sweep_staging
from acsync.store.sync_log import finish_log, record_plan
from acsync.store.sync_status import read_running, read_status
from tests.support.commands import wait_for
from tests.support.postgres import Postgres
from tests.support.syncs import EXPIRE, cut, fetch, people, publish, sync_all

LOG = """
    select contacts_success, contacts_count, contacts_error, deals_success, deals_count,
           deals_error, overall_success
    from ac_sync_logs order by id
"""
CRASHED = "The sync crashed: it did not close its log row, and its lease expired."


STAGED_CONTACTS = "ac_staged_contacts (sync_no, slice_no, record_id, hash, record)"
STAGING_TABLES = ("ac_staged_contacts", "ac_staged_slices", "ac_staged_plans")


def test_of_syncs_that_start_together_one_runs(database: Database) -> None:
    """A schedule and a person start a sync in the same second."""
    started: list[Sync] = []
    refused: list[str] = []

    def start(holder: str) -> None:
        try:
            started.append(start_sync(database, holder, None))
        except LeaseHeld as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start, args=(f"host {n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(started), len(refused)) == (1, 7)
    assert fetch(database, "select count(*) from ac_sync_logs") == [(1,)]
    assert all(f"{started[0].sync_id} has been running since" in message for message in refused)


def test_a_refusal_names_the_holder(database: Database) -> None:
    """The reader wants to know which sync to wait for."""
    sync = start_sync(database, "flow run grey-owl on host-1", None)

    with pytest.raises(
        LeaseHeld, match=f"{sync.sync_id} .* started by flow run grey-owl on host-1"
    ):
        start_sync(database, "another", None)


def test_a_released_lease_is_free_at_once_and_ids_differ(database: Database) -> None:
    """Two syncs can start within one millisecond."""
    ids = []
    for _ in range(20):
        sync = start_sync(database, "a test", "run")
        with keep_lease(database, sync):
            ids.append(sync.sync_id)

    assert len(set(ids)) == 20
    assert ids == [row[0] for row in fetch(database, "select sync_id from ac_sync_logs order by 1")]


def test_a_dead_sync_is_abandoned_and_its_staging_swept(database: Database) -> None:
    """A machine that lost power leaves an open log row and half-filled staging."""
    dead = start_sync(database, "a test", None)
    stage_slice(database, dead, "contacts", cut(database, "contacts", people(1)))
    fetch(database, EXPIRE)
    sync = start_sync(database, "a test", None)

    assert fetch(database, LOG) == [
        (False, None, CRASHED, False, None, CRASHED, False),
        (None,) * 7,
    ]
    assert read_coverage(database, dead, "contacts") == {}
    assert fetch(database, "select count(*) from ac_staged_contacts") == [(0,)]
    assert sync.number > dead.number


def test_an_expired_lease_that_nobody_took_is_still_ours(database: Database) -> None:
    """A long network outage must not waste a sync that nobody replaced."""
    sync = start_sync(database, "a test", None)
    fetch(database, EXPIRE)
    stage_slice(database, sync, "contacts", cut(database, "contacts", people(1)))

    assert len(read_coverage(database, sync, "contacts")) == 1


def test_a_clock_that_ran_ahead_keeps_no_lease_alive(database: Database) -> None:
    """When the clock is set back, the last renewal is in the future."""
    start_sync(database, "a test", None)
    fetch(database, "update ac_lease set renewed_at = clock_timestamp() + interval '91 seconds'")

    start_sync(database, "another", None)


def test_a_worker_frozen_in_a_copy_holds_up_nobody(
    database: Database,
) -> None:
    """No timeout of Postgres ends an open COPY."""
    frozen = start_sync(database, "a test", None)
    with database.begin() as connection:
        row = (b"%d" % frozen.number, b"0", b"1", b"\\x00", b"{}")
        copy_rows(connection, STAGED_CONTACTS, [row])
        fetch(database, EXPIRE)
        _, changes = sync_all(database, {"contacts": people(1, 2, 3)})
        with pytest.raises(LeaseLost):
            require_lease(connection, frozen, lock="key share")

    assert changes["contacts"].records == 3


def test_a_worker_frozen_in_a_transaction_is_disconnected(database: Database) -> None:
    """A minute later the row of the lease is unlocked."""
    with database.begin() as connection:
        limits = [
            run(connection, f"show {name}").scalar_one()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
        ]

    assert limits == ["5s", "1min", "10min"]


def test_a_backup_stops_no_sync(database: Database) -> None:
    """A backup reads every table in one long transaction, which blocks any TRUNCATE."""
    sync_all(database, {"contacts": people(1)})
    with database.begin() as backup:
        for table in STAGING_TABLES:
            run(backup, f"select count(*) from {{schema}}.{table}")
        first = start_sync(database, "a test", None)
        with keep_lease(database, first):
            stage_slice(database, first, "contacts", cut(database, "contacts", people(1, 2)))
            publish(database, first, ["contacts"])
            with pytest.raises(StoreError, match="such as a backup"):
                sweep_staging(database, first, ["contacts"])
        second = start_sync(database, "a test", None)
    sweep_staging(database, second, ["contacts"])

    assert published_ids(database, "contacts") == [1, 2]
    assert fetch(database, "select count(*) from ac_staged_slices") == [(0,)]


def _stage(database: Database, sync: Sync) -> None:
    stage_slice(database, sync, "contacts", cut(database, "contacts", people(1)))


def _publish(database: Database, sync: Sync) -> None:
    with database.begin() as connection:
        require_lease(connection, sync)
        publish_dataset(connection, sync, "contacts", 5)


@pytest.mark.parametrize("step", [_stage, _publish])
def test_a_sync_that_lost_its_lease_changes_nothing_more(
    database: Database, step: Callable[[Database, Sync], None]
) -> None:
    """A laptop wakes up and continues last night's sync."""
    sync_all(database, {"contacts": people(1, 2)})
    sleeper = start_sync(database, "a test", None)
    fetch(database, EXPIRE)
    successor = start_sync(database, "a test", None)

    with pytest.raises(LeaseLost, match=f"{sleeper.sync_id} lost its lease"):
        step(database, sleeper)

    assert published_ids(database, "contacts") == [1, 2]
    assert read_coverage(database, successor, "contacts") == {}


def test_nobody_takes_over_from_a_sync_that_is_publishing(database: Database) -> None:
    """Its lease may expire while it publishes, but the lock shows that it is alive."""
    sync = start_sync(database, "a test", None)
    fetch(database, EXPIRE)

    with database.begin() as connection:
        require_lease(connection, sync)
        with pytest.raises(LeaseHeld, match=f"{sync.sync_id} has been running"):
            start_sync(database, "another", None)


def test_the_heartbeat_renews_while_slices_are_staged(database: Database) -> None:
    """Sixteen threads stage at once, and the heartbeat must not wait for their locks."""
    sync = start_sync(database, "a test", None)
    with database.begin() as staging:
        require_lease(staging, sync, lock="key share")
        (before,) = fetch(database, "select renewed_at from ac_lease")
        with keep_lease(database, sync, renew_seconds=0.02):
            time.sleep(0.3)
            (after,) = fetch(database, "select renewed_at from ac_lease")

    assert after > before
    assert fetch(database, "select sync_no, holder from ac_lease") == [(None, None)]


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_lost_lease_is_noticed_and_not_taken_back(database: Database) -> None:
    """The end of the loser must not release the lease of its successor."""
    sync = start_sync(database, "a test", None)
    with keep_lease(database, sync, renew_seconds=0.02):
        fetch(database, "update ac_lease set sync_no = 99")
        wait_for("the heartbeat to stop", lambda: "lease" not in thread_names())

    assert fetch(database, "select sync_no from ac_lease") == [(99,)]


def test_the_heartbeat_outlives_a_database_outage(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A failover takes seconds. A lease expires after ninety."""
    sync = start_sync(database, "a test", None)
    with keep_lease(database, sync, renew_seconds=0.02):
        fetch(database, "alter table ac_lease rename to ac_lease_away")
        time.sleep(0.2)
        fetch(database, "alter table ac_lease_away rename to ac_lease")
        fetch(database, EXPIRE)
        time.sleep(0.3)
        alive = fetch(database, "select renewed_at > now() - interval '9 seconds' from ac_lease")

    assert alive == [(True,)]
    assert "was not renewed" in caplog.text


def test_the_end_of_a_sync_outlives_its_database(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """The person must see the error that ended the sync, not that of the release."""
    database = postgres.open(postgres.create("template_migrated"))
    sync = start_sync(database, "a test", None)

    def fail_with_the_database() -> None:
        with keep_lease(database, sync):
            postgres.execute(f"drop database {database.engine.url.database} with (force)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_with_the_database()

    assert "was not released and will expire" in caplog.text
    database.close()


def test_a_half_failed_sync_is_logged_as_failed(database: Database) -> None:
    """One dataset is published and the other failed. The log tells both."""
    sync = start_sync(database, "a test", "run-1")
    outcomes: dict[DatasetName, DatasetResult] = {
        "contacts": DatasetResult(1500, Changes(9, 1, 2, 3, 0)),
        "deals": DatasetResult(700, error="no deals today: 100 %"),
    }
    with database.begin() as connection:
        finish_log(connection, sync, outcomes, CallCounts(40, 3, 2), Pace(10))

    assert fetch(database, LOG) == [(True, 9, None, False, None, "no deals today: 100 %", False)]
    assert fetch(
        database,
        "select contacts_added, contacts_updated, contacts_deleted, contacts_duration_ms, "
        "deals_added, deals_duration_ms, api_calls, retries, rate_limited, flow_run_id, "
        "finished_at >= timestamp, total_duration_ms < 60000 from ac_sync_logs",
    ) == [(1, 2, 3, 1500, None, 700, 40, 3, 2, "run-1", True, True)]
    assert read_status(database).statistics["successful_syncs"] == 0


def test_a_late_loser_does_not_overwrite_its_log_row(database: Database) -> None:
    """The loser wakes up and closes its log row too late."""
    sleeper = start_sync(database, "a test", None)
    fetch(database, EXPIRE)
    start_sync(database, "a test", None)
    with database.begin() as connection:
        outcome = DatasetResult(1, Changes(1, 1, 0, 0, 0))
        finish_log(connection, sleeper, {"contacts": outcome}, CallCounts(), Pace(10))

    assert fetch(database, LOG)[0] == (False, None, CRASHED, False, None, CRASHED, False)


def test_the_status_of_a_new_database_is_nothing_yet(database: Database) -> None:
    """People open the dashboard before the first sync."""
    assert read_status(database).as_json() == {
        "currentStatus": None,
        "running": None,
        "recentSyncs": [],
        "statistics": {
            "totalSyncs": 0,
            "successfulSyncs": 0,
            "successRate": None,
            "avgDurationSeconds": None,
            "lastSyncTime": None,
        },
        "latestData": {"contacts": None, "deals": None},
        "warnings": [],
        "intervalSeconds": 900.0,
    }


def test_the_status_tells_what_is_published_and_what_runs(database: Database) -> None:
    """The status is the payload of the contract, ready to be sent as JSON."""
    sync_id, _ = sync_all(database, {"contacts": people(1, 2)})
    fetch(database, "update ac_sync_logs set total_duration_ms = 385500")
    running = start_sync(database, "a test", None)
    record_plan(database, running, "contacts", 3)
    now = SyncProgress("copying", {"contacts": 1}, 7, 1, 3.5, 60)
    with keep_lease(database, running, lambda: now, renew_seconds=0.05):
        wait_for("a heartbeat", lambda: (seen := read_running(database)) and seen.now == now)
        status = json.loads(json.dumps(read_status(database).as_json()))

    ((synced_at, read_from, started),) = fetch(
        database,
        "select synced_at, read_from, timestamp from ac_published "
        "join ac_sync_logs on id = sync_no",
    )
    finished = {
        "sync_id": sync_id,
        "timestamp": started.isoformat(),
        "total_duration_ms": 385500,
        "duration_seconds": 385.5,
        "duration_minutes": 6.43,
        "contacts_success": True,
        "contacts_count": 2,
        "contacts_error": None,
        "deals_success": None,
        "deals_count": None,
        "deals_error": None,
        "overall_success": True,
    }
    unfinished = dict.fromkeys(finished) | {
        "sync_id": running.sync_id,
        "timestamp": running.started_at.isoformat(),
    }
    assert status == {
        "currentStatus": finished,
        "running": {
            "sync_id": running.sync_id,
            "started": running.started_at.isoformat(),
            "progress": {
                "contacts": {"records": 1, "expected": 3},
                "deals": {"records": 0, "expected": None},
            },
        },
        "recentSyncs": [unfinished, finished],
        "statistics": {
            "totalSyncs": 1,
            "successfulSyncs": 1,
            "successRate": "100.00%",
            "avgDurationSeconds": "385.50",
            "lastSyncTime": started.isoformat(),
        },
        "latestData": {
            "contacts": {
                "recordCount": 2,
                "syncedAt": synced_at.isoformat(),
                "readFrom": read_from.isoformat(),
                "verifiedAt": started.isoformat(),
            },
            "deals": None,
        },
        "warnings": [],
        "intervalSeconds": 900.0,
    }


def test_a_dead_sync_is_not_shown_as_running(database: Database) -> None:
    """The dashboard must not show progress of a sync that is dead."""
    start_sync(database, "a test", None)
    fetch(database, EXPIRE)

    assert read_running(database) is None


def test_statistics_look_back_seven_days(database: Database) -> None:
    """With a sync every three hours, 55 of the last hundred count. One of them failed."""
    fetch(
        database,
        """
        insert into ac_sync_logs (sync_id, timestamp, finished_at, overall_success,
                                  total_duration_ms, contacts_count)
        select 'sync-' || n, now() - n * interval '3 hours', now(), n <> 7, 1000 * n, n
        from generate_series(1, 100) as n
        """,
    )

    assert fetch(
        database,
        "select total_syncs, successful_syncs, success_rate, avg_duration_seconds, "
        "avg_contacts_count, avg_deals_count, latest_contacts_count from ac_sync_statistics",
    ) == [(55, 54, Decimal("98.18"), Decimal("28.00"), Decimal("28.00"), None, None)]
