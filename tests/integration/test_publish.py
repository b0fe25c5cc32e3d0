"""Readers see only whole syncs, exactly as received."""

import threading
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

import migrations
from acsync.datasets import Record
from acsync.errors import StoreError
from acsync.readings import EnrichedRecord, Interval
from acsync.results import Changes
from acsync.store.database import Database
from acsync.store.lease import require_lease, start_sync
from acsync.store.publish import publish_dataset
from acsync.store.snapshot import (
    count_staged,
    published_ids,
    published_records,
)
from acsync.store.staging import StagedSlice, count_staged_records, read_coverage, stage_slice
from tests.support.postgres import Postgres, execute
from tests.support.syncs import cut, fetch, people, publish, sync_all

CHANGES = "select data_type, record_id, change from ac_changes where sync_id = :sync_id order by 2"
AS_OF = "select record_id, record ->> 'email' from ac_records_as_of(:sync_id) order by 1"


def test_a_first_sync_adds_everything_and_a_second_writes_nothing(database: Database) -> None:
    """157,000 unchanged records must not be written every 15 minutes."""
    first_id, first = sync_all(database, {"contacts": people(*range(1, 2_501))})
    _, second = sync_all(database, {"contacts": people(*range(1, 2_501))})

    assert first == {"contacts": Changes(2_500, 2_500, 0, 0, 0)}
    assert second == {"contacts": Changes(2_500, 0, 0, 0, 0)}
    assert fetch(database, "select count(*) from ac_contact_versions") == [(2_500,)]
    assert fetch(database, "select count(*) from ac_staged_contacts") == [(0,)]
    assert fetch(database, "select distinct sync_id from ac_changes") == [(first_id,)]


def test_the_change_feed_tells_added_updated_and_deleted_apart(database: Database) -> None:
    """Consumers follow the feed instead of comparing snapshots."""
    sync_all(database, {"contacts": people(1, 2, 3)})
    records = [*people(1), *people(2, email="new@example.com"), *people(4)]
    sync_id, changes = sync_all(database, {"contacts": records})

    assert changes == {"contacts": Changes(3, 1, 1, 1, 0)}
    assert fetch(database, CHANGES, sync_id=sync_id) == [
        ("contacts", 2, "updated"),
        ("contacts", 3, "deleted"),
        ("contacts", 4, "added"),
    ]
    deleted = "select record, changed_at = synced_at from ac_changes, ac_published where \
        change = 'deleted' and sync_no = 2"
    assert fetch(database, deleted) == [(people(3)[0], True)]


def test_a_record_that_comes_back_is_added_again(database: Database) -> None:
    """ActiveCampaign can restore a deleted contact under its old id."""
    sync_all(database, {"contacts": people(1, 2)})
    gone, _ = sync_all(database, {"contacts": people(1)})
    back, changes = sync_all(database, {"contacts": people(1, 2)})

    assert changes == {"contacts": Changes(2, 1, 0, 0, 0)}
    assert fetch(database, CHANGES, sync_id=gone) == [("contacts", 2, "deleted")]
    assert fetch(database, CHANGES, sync_id=back) == [("contacts", 2, "added")]


def test_kept_syncs_can_be_read_as_they_were(database: Database) -> None:
    """Three are kept here, so the fourth sync makes the first one unreadable."""
    ids = [
        sync_all(database, {"contacts": people(*range(1, number + 1), email=f"{number}@x")})[0]
        for number in range(1, 5)
    ]

    assert [fetch(database, AS_OF, sync_id=sync_id) for sync_id in ids[1:]] == [
        [(1, "2@x"), (2, "2@x")],
        [(1, "3@x"), (2, "3@x"), (3, "3@x")],
        [(1, "4@x"), (2, "4@x"), (3, "4@x"), (4, "4@x")],
    ]
    assert fetch(database, CHANGES, sync_id=ids[1])[0] == ("contacts", 1, "updated")
    assert fetch(database, "select min(valid_to) from ac_contact_versions") == [(2,)]
    refusal = rf"{ids[0]} is not a kept sync\. Kept are: {ids[3]}, {ids[2]}, {ids[1]}"
    with pytest.raises(StoreError, match=refusal), database.begin() as connection:
        connection.execute(text(AS_OF), {"sync_id": ids[0]})


def test_a_failed_dataset_is_read_as_published_before(database: Database) -> None:
    """One dataset that fails must not hide the history of the other."""
    sync_all(database, {"contacts": people(1), "deals": [{"id": "7"}]})
    sync_id, _ = sync_all(database, {"contacts": people(1, 2)})
    sync_all(database, {"contacts": people(1, 2, 3), "deals": [{"id": "8"}]})

    as_of = "select data_type, record_id from ac_records_as_of(:sync_id) order by 1, 2"
    assert fetch(database, as_of, sync_id=sync_id) == [
        ("contacts", 1),
        ("contacts", 2),
        ("deals", 7),
    ]


def test_expired_history_is_refused_not_left_out(database: Database) -> None:
    """An incomplete history that looks complete would be worse than none."""
    sync_id, _ = sync_all(database, {"contacts": people(1), "deals": [{"id": "7"}]})
    for number in range(3):
        sync_all(database, {"contacts": people(1, email=f"{number}@x")})

    refusal = f"the contacts as of {sync_id} are no longer kept"
    with pytest.raises(StoreError, match=refusal), database.begin() as connection:
        connection.execute(text(AS_OF), {"sync_id": sync_id})


def test_the_later_reading_of_a_record_wins(database: Database) -> None:
    """A slow thread can stage its slice after one that was read later."""
    sync = start_sync(database, "a test", None)
    newer = people(2, 3, email="new@example.com")
    stage_slice(database, sync, "contacts", cut(database, "contacts", newer, 1))
    older = cut(database, "contacts", people(1, 2, 3), 0, age=5)
    stage_slice(database, sync, "contacts", older)
    publish(database, sync, ["contacts"])

    emails = "select contact_id, email from ac_contacts order by 1"
    assert fetch(database, emails) == [
        (1, "p1@example.com"),
        (2, "new@example.com"),
        (3, "new@example.com"),
    ]


def test_a_reading_without_a_body_wins_too(database: Database) -> None:
    """A record can change and change back between two readings."""
    sync_all(database, {"contacts": people(1, 2, 3)})
    sync = start_sync(database, "a test", None)
    changed = people(2, 3, email="new@example.com")
    stage_slice(database, sync, "contacts", cut(database, "contacts", changed, 1))
    stage_slice(database, sync, "contacts", cut(database, "contacts", people(1, 2), 0))

    counts = count_staged(database, sync, "contacts", newest_id=2, planned_id=1)
    changes = publish(database, sync, ["contacts"])

    assert counts == (3, 1, 1)
    assert changes == {"contacts": Changes(3, 0, 1, 0, 0)}
    assert published_records(database, "contacts", [1, 2, 3]) == {
        1: people(1)[0],
        2: people(2)[0],
        3: changed[1],
    }


def test_a_slice_staged_again_replaces_its_first_try(database: Database) -> None:
    """A task is retried if the network fails right after the commit."""
    sync = start_sync(database, "a test", None)
    masked: Record = {"id": "9", "isDisabled": True}
    stage_slice(database, sync, "deals", cut(database, "deals", [{"id": "1"}, {"id": "2"}], 4))
    stage_slice(database, sync, "deals", cut(database, "deals", [{"id": "2"}, masked], 4))
    stage_slice(database, sync, "deals", cut(database, "deals", [masked], 5))

    assert read_coverage(database, sync, "deals") == {4: Interval(2, 9), 5: Interval(9, 9)}
    assert count_staged_records(database, sync, "deals") == 3
    counts = count_staged(database, sync, "deals", newest_id=9, planned_id=2)
    assert counts == (2, 1, 0)
    assert publish(database, sync, ["deals"]) == {"deals": Changes(2, 2, 0, 0, 1)}


def test_a_sync_publishes_a_dataset_once(database: Database) -> None:
    """A second publication would close versions that the first one opened."""
    sync = start_sync(database, "a test", None)
    stage_slice(database, sync, "contacts", cut(database, "contacts", people(1)))
    publish(database, sync, ["contacts"])

    with pytest.raises(StoreError, match="already published"), database.begin() as connection:
        publish_dataset(connection, sync, "contacts", 5)

    assert published_ids(database, "contacts") == [1]


def test_an_account_without_records_publishes_an_empty_snapshot(database: Database) -> None:
    """An empty copy differs from one that was never synced."""
    sync_all(database, {"contacts": people(1)})
    _, changes = sync_all(database, {"contacts": []})

    assert changes == {"contacts": Changes(0, 0, 0, 1, 0)}
    assert fetch(database, "select latest_contacts_count from ac_sync_statistics") == [(0,)]


def test_a_reader_never_waits_and_never_sees_half_a_publish(database: Database) -> None:
    """The reader queries during the publishing transaction and after it."""
    query = "select count(*), min(email), max(email) from ac_contacts"
    sync_all(database, {"contacts": people(1, 2, email="old")})
    sync = start_sync(database, "a test", None)
    stage_slice(database, sync, "contacts", cut(database, "contacts", people(2, 3, 4, email="new")))
    with database.begin() as connection:
        require_lease(connection, sync)
        publish_dataset(connection, sync, "contacts", 5)
        with database.engine.begin() as reader:
            reader.execute(text("set local lock_timeout = '1s'"))
            during = reader.execute(text(query)).one()
    after = fetch(database, query)

    assert (tuple(during), after) == ((2, "old", "old"), [(3, "new", "new")])


def test_concurrent_readers_see_one_sync_or_the_other(database: Database) -> None:
    """All records of a snapshot have the same e-mail, so a mixture would show two."""
    done, seen = threading.Event(), set()

    def read() -> None:
        while not done.is_set():
            seen.update(fetch(database, "select count(distinct email), count(*) from ac_contacts"))

    sync_all(database, {"contacts": people(*range(1, 301), email="0")})
    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 6):
        sync_all(database, {"contacts": people(*range(number, 300 + number), email=str(number))})
    done.set()
    reader.join()

    assert seen == {(1, 300)}


def test_any_text_survives_the_way_into_postgres(database: Database) -> None:
    """Texts that people typed pass through COPY, jsonb and the % of psycopg2."""
    texts = ['"quotes"', "back\\slash \\n \\\\u0041", "100 % %s %(a)s :b", "tab\t, line\r\n", "\\."]
    record: Record = {
        "id": "1",
        "texts": [*texts, "😀 ünï 漢字", "\x01\x7f\x85\u2028", "x" * 300_000, "{schema}"],
        "numbers": [0, -1, 2**70, True, None],
        "nested": {"": {"a'b": []}},
    }
    sync_all(database, {"contacts": [record]})

    assert published_records(database, "contacts", [1, 2]) == {1: record}


def test_numbers_keep_every_digit(database: Database) -> None:
    """A float would turn amounts of money into 0.30000000000000004."""
    sync = start_sync(database, "a test", None)
    body = b'{"id": 1,\n\t"score": 12345678901234567890.123456789}'
    staged = StagedSlice(0, Interval(1, 1), [1], [EnrichedRecord(1, b"h", body)], [0.0])
    stage_slice(database, sync, "contacts", staged)
    publish(database, sync, ["contacts"])

    assert published_records(database, "contacts", [1]) == {
        1: {"id": 1, "score": Decimal("12345678901234567890.123456789")}
    }


def test_a_body_that_is_no_json_fails_without_being_repeated(database: Database) -> None:
    """An error must not copy a customer's data into a log."""
    sync = start_sync(database, "a test", None)
    staged = StagedSlice(
        0, Interval(1, 1), [1], [EnrichedRecord(1, b"h", b'{"email": secret@x}')], [0.0]
    )

    with pytest.raises(StoreError, match="SQLSTATE 22P02") as caught:
        stage_slice(database, sync, "contacts", staged)

    assert "secret" not in str(caught.value)
    assert read_coverage(database, sync, "contacts") == {}


def test_contacts_show_their_columns(database: Database) -> None:
    """Times are timestamps, custom fields are one object, the rest is as received."""
    record: Record = {
        "id": 5,
        "email": "Ann@Example.com",
        "firstName": "Ann",
        "lastName": "",
        "phone": None,
        "cdate": "2026-05-28T03:05:54-05:00",
        "udate": "2026-06-01T00:00:00Z",
        "customFields": {"LANGUAGE": {"value": "en", "fieldId": "1"}, "N": {"fieldId": "2"}},
        "tags": ["vip", "new"],
        "lists": [{"id": "1", "name": "News", "status": "active"}],
    }
    sync_all(database, {"contacts": [record]})

    (row,) = fetch(database, "select * from ac_contacts where lower(email) = 'ann@example.com'")
    *shown, synced_at, tags, lists, changed_at = row
    assert (*shown, tags, lists) == (
        5,
        "Ann@Example.com",
        "Ann",
        "",
        None,
        datetime(2026, 5, 28, 8, 5, 54, tzinfo=UTC),
        datetime(2026, 6, 1, tzinfo=UTC),
        {"LANGUAGE": "en", "N": None},
        record,
        ["vip", "new"],
        [{"id": "1", "name": "News", "status": "active"}],
    )
    assert fetch(database, "select synced_at from ac_published") == [(synced_at,)]
    assert changed_at == synced_at


def test_deals_show_their_columns(database: Database) -> None:
    """Values show in whole units and in cents; pipeline, stage and owner by name."""
    record: Record = {
        "id": "17",
        "title": "A deal",
        "value": "15605",
        "currency": "eur",
        "status": "1",
        "group": "2",
        "pipelineData": {"id": "2", "title": "Sales"},
        "stage": "6",
        "stageData": {"id": "6", "title": "Won"},
        "owner": "1",
        "ownerData": {"id": "1", "username": "bob", "firstName": "Bob", "lastName": ""},
        "contact": "213",
        "cdate": "2020-05-24T05:29:20-05:00",
        "mdate": "2020-05-24T05:29:20+0530",
        "isDisabled": False,
        "customFields": {},
    }
    sync_all(database, {"deals": [record]})

    (row,) = fetch(database, "select * from ac_deals")
    assert row[:-3] == (
        *(17, "A deal", 15605, Decimal("156.05"), "eur", "won"),
        *(2, "Sales", 6, "Won", 1, "Bob", 213),
        datetime(2020, 5, 24, 10, 29, 20, tzinfo=UTC),
        datetime(2020, 5, 23, 23, 59, 20, tzinfo=UTC),
        *(False, {}, record),
    )


ODD: list[Any] = [
    *(None, "", "0000-00-00 00:00:00", "2020-02-30T00:00:00Z", "2020-01-01 10:00:00"),
    *("now", "infinity", "9" * 40, "٣", "1.5", -12.5, True, [], {}, {"title": 1}, [[1]]),
    "x" * 9_000,
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_no_odd_value_can_stop_a_sync(database: Database, odd: Any) -> None:
    """One broken record of 157,000 may cost a null in a column, but not the snapshot."""
    keys = (
        *("email", "firstName", "phone", "cdate", "udate", "mdate", "customFields", "title"),
        *("value", "status", "group", "stage", "owner", "contact", "isDisabled", "currency"),
        *("pipelineData", "stageData", "ownerData"),
    )
    record: Record = {"id": "1"} | dict.fromkeys(keys, odd)
    sync_all(database, {"contacts": [record], "deals": [record]})

    assert published_records(database, "deals", [1]) == {1: record}
    assert fetch(
        database,
        "select c.created_at, c.updated_at, d.created_at, value_minor, value, status, stage_id "
        "from ac_contacts as c, ac_deals as d",
    ) == [(None,) * 7]


def test_the_snapshot_comes_in_chunks_in_id_order(database: Database) -> None:
    """One jsonb of 82,000 contacts would exceed the 256 MB of Postgres."""
    sync_id, _ = sync_all(
        database, {"contacts": people(*range(2_001, 0, -1)), "deals": [{"id": "1"}]}
    )

    assert fetch(
        database,
        "select id, data_type, record_count, sync_duration_ms, sync_id, json_data #>> '{0,id}', "
        "json_data #>> '{-1,id}' from ac_sync_data order by id",
    ) == [
        (1, "contacts", 1_000, 5, sync_id, "1", "1000"),
        (2, "deals", 1, 5, sync_id, "1", "1"),
        (3, "contacts", 1_000, 5, sync_id, "1001", "2000"),
        (5, "contacts", 1, 5, sync_id, "2001", "2001"),
    ]


def test_a_lookup_by_email_uses_an_index(database: Database) -> None:
    """It takes milliseconds at any size, even in a new database without statistics."""
    sync_all(database, {"contacts": people(*range(1, 2_001))})

    plans = [
        str(fetch(database, f"explain select * from ac_contacts where {condition}"))
        for condition in ("email = 'p7@example.com'", "lower(email) = 'p7@example.com'")
    ]
    assert ["ac_contact_versions_email" in plans[0], "lower_email" in plans[1]] == [True, True]


def test_a_search_for_a_tag_uses_an_index(database: Database) -> None:
    """People filter by tags most."""
    sync_all(database, {"contacts": people(*range(1, 2_001), tags=["VIP"])})
    execute(database, "analyze ac_contact_versions")

    plan = fetch(
        database, "explain select * from ac_contacts where tags @> array['VIP', 'nobody has it']"
    )
    assert "ac_contact_versions_tags" in str(plan)


def test_views_and_grants_of_users_survive_every_sync(postgres: Postgres) -> None:
    """A sync must not drop and recreate objects that people depend on."""
    with closing(postgres.open(postgres.create("template1"), "client_a")) as database:
        migrations.upgrade(database)
        fetch(database, "create view leads as select email from client_a.ac_contacts")
        fetch(database, "create role analyst nologin")
        fetch(database, "grant usage on schema client_a to analyst")
        fetch(database, "grant select on client_a.ac_contacts to analyst")
        for number in range(1, 6):
            sync_all(database, {"contacts": people(*range(number))})
        with database.engine.begin() as connection:
            connection.execute(text("set local role analyst"))
            count = connection.execute(text("select count(*) from client_a.ac_contacts")).scalar()

        assert (count, fetch(database, "select count(*) from leads")) == (5, [(5,)])
        fetch(database, "drop owned by analyst; drop role analyst")
