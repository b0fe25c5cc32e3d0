"""Analysts can query stage history, the age of the data, notices of syncs, and old syncs."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url

from acsync.simulator.account import Account
from acsync.store.database import Database
from tests.support.commands import wait_for
from tests.support.fixtures import CopyAccount
from tests.support.postgres import execute
from tests.support.syncs import fetch

STAY = "select deal_id, pipeline_id, stage_id, status from"
NOW = f"{STAY} ac_deal_stages where left_at is null order by 1"
DEALS = f"{STAY} ac_deals order by 1"


def test_stays_end_when_a_deal_moves(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """A move, a deletion, a new deal, and a change that moves nothing."""
    copy_account()
    ((first,),) = fetch(database, "select max(synced_at) from ac_published")
    before = fetch(database, DEALS)
    assert fetch(database, NOW) == before
    assert fetch(database, "select distinct entered_at, left_at from ac_deal_stages") == [
        (first, None)
    ]

    account.change("deals", 40)
    gone = account.delete("deals", 5)
    new = account.add("deals", 3)
    copy_account()
    ((second,),) = fetch(database, "select max(synced_at) from ac_published")

    after = fetch(database, DEALS)
    moved = {row for row in before if row not in after and row[0] not in gone}
    assert len(moved) > 10
    assert fetch(database, NOW) == after
    left = fetch(
        database,
        "select deal_id, pipeline_id, stage_id, status from ac_deal_stages "
        "where left_at = :second and entered_at = :first",
        first=first,
        second=second,
    )
    assert {*left} == moved | {row for row in before if row[0] in gone}
    entered = fetch(
        database, "select deal_id from ac_deal_stages where entered_at = :second", second=second
    )
    assert {record_id for (record_id,) in entered} == {row[0] for row in moved} | {*new}

    copy_account()
    assert fetch(database, "select count(*) from ac_deal_stages") == [
        (len(before) + len(moved) + len(new),)
    ]


def test_a_publication_for_all_tables_refuses_no_sync(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Debezium, Sequin and PeerDB create one.

    Postgres then refuses updates of a table without a key.
    """
    copy_account()
    execute(database, "create publication everything for all tables")
    account.change("deals", 40)
    account.delete("deals", 5)

    assert copy_account().success

    closed = fetch(database, "select count(*) from ac_deal_stages where left_at is not null")
    assert closed > [(10,)]


def test_every_table_that_is_logged_has_a_primary_key(database: Database) -> None:
    """The key is the replica identity. Unlogged tables are never replicated."""
    without = fetch(
        database,
        "select relname from pg_class where relnamespace = 'public'::regnamespace "
        "and relkind = 'r' and relpersistence = 'p' and not exists ("
        "select from pg_index where indrelid = pg_class.oid and indisprimary)",
    )
    assert without == []


def test_a_renamed_stage_is_no_move(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """The stays continue under the new name."""
    copy_account()
    stage = account.metadata.listings["stages"][0]
    stage["title"] = "Renamed"
    copy_account()

    assert fetch(
        database,
        "select count(*) filter (where left_at is not null), "
        "count(*) filter (where stage = 'Renamed') = "
        "(select count(*) from ac_deals where stage_id = :id) from ac_deal_stages",
        id=int(stage["id"]),
    ) == [(0, True)]


def test_the_age_of_the_data_is_plain_sql(copy_account: CopyAccount, database: Database) -> None:
    copy_account()
    fetch(
        database,
        "update ac_published set read_from = read_from - interval '46 min' "
        "where data_type = 'deals'",
    )

    rows = fetch(database, "select * from ac_freshness")

    assert [(name, count, fresh) for name, count, _, _, fresh, *_ in rows] == [
        ("contacts", 700, True),
        ("deals", 600, False),
    ]
    assert rows[1][3] > timedelta(minutes=46)


def test_what_is_published_knows_its_oldest_read(
    copy_account: CopyAccount, database: Database
) -> None:
    """A sync that resumes nothing reads every record after its start."""
    copy_account()

    assert fetch(
        database,
        "select distinct read_from = started.timestamp, verified_at = started.timestamp, "
        "age >= clock_timestamp() - synced_at "
        "from ac_freshness, ac_sync_logs as started",
    ) == [(True, True, True)]


@pytest.fixture
def listener(database: Database) -> Iterator[Any]:
    """Listen for notices, like a program that waits for new data."""
    url = make_url(database.engine.url).set(drivername="postgresql")
    with closing(psycopg2.connect(url.render_as_string(hide_password=False))) as connection:
        connection.autocommit = True
        connection.cursor().execute("listen acsync")
        yield connection


def test_each_publication_sends_a_notice(
    listener: Any, copy_account: CopyAccount, database: Database
) -> None:
    """The notice comes with the commit, so a listener can read the new data at once."""
    result = copy_account()

    wait_for("a notice", lambda: listener.poll() or listener.notifies)
    (notice,) = listener.notifies
    payload = json.loads(notice.payload)
    assert (payload["schema"], payload["sync_id"]) == ("public", result.sync_id)
    assert payload["datasets"]["deals"] == {
        "records": 600,
        "added": 600,
        "updated": 0,
        "deleted": 0,
        "masked": payload["datasets"]["deals"]["masked"],
        "refreshed": 0,
        "dropped": 0,
    }
    assert fetch(database, "select sync_id from ac_latest_sync") == [(result.sync_id,)]


def test_syncs_are_kept_for_a_time(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last 12 hours stay whole: the oldest kept sync is the state at their beginning."""
    monkeypatch.setenv("ACSYNC_KEEP_SYNCS", "12h")
    ids = []
    for hours in (30, 20, 11, 0):
        account.change("contacts", 5)
        ids.append(copy_account().sync_id)
        fetch(
            database,
            f"update ac_published set synced_at = synced_at - interval '{hours} hours' "
            "where sync_id = :sync_id",
            sync_id=ids[-1],
        )
    account.change("contacts", 5)
    ids.append(copy_account().sync_id)

    kept = fetch(database, "select distinct sync_id from ac_published order by 1")
    assert [sync_id for (sync_id,) in kept] == ids[1:]
    assert fetch(database, "select count(*) from ac_changes where change = 'updated'") == [(20,)]
