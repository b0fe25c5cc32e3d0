"""People can query versions, changed fields and deleted records by time."""

from typing import Any

import pytest

from acsync.datasets import DATASETS, DatasetName, Record
from acsync.simulator.account import Account
from acsync.store.database import Database
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch, people, sync_all

TIMES = "select synced_at from ac_published where data_type = 'contacts' order by sync_no"
AS_OF = "valid_from <= :time and (valid_to is null or valid_to > :time)"
CHANGES = "select field, was, became from ac_field_changes where record_id = :id order by 1, 2, 3"


def field(number: int, value: str, **values: str) -> Record:
    return {"fieldId": str(number), "value": value} | values


def test_history_shows_each_record_as_of_any_kept_sync(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """It agrees with ac_records_as_of, which people compare it with."""
    ids = []
    for _ in range(3):
        ids.append(copy_account().sync_id)
        for name in DATASETS:
            account.change(name, 20)
            account.delete(name, 3)
            account.add(name, 3)
    times = [time for (time,) in fetch(database, TIMES)]

    for sync_id, time in zip(ids, times, strict=True):
        history = (
            "select 'contacts', contact_id, record from ac_contact_history "
            f"where {AS_OF} union all "
            f"select 'deals', deal_id, record from ac_deal_history where {AS_OF}"
        )
        assert fetch(
            database,
            f"select count(*), count(*) filter (where as_of.record = history.record) "
            f"from ({history}) as history (data_type, record_id, record) "
            "full join ac_records_as_of(:sync_id) as as_of using (data_type, record_id)",
            time=time,
            sync_id=sync_id,
        ) == [(1300, 1300)]


def test_the_current_versions_are_those_of_the_views(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """The columns are the same, followed by the two times."""
    copy_account()
    for name in DATASETS:
        account.change(name, 20)
        account.delete(name, 3)
    copy_account()

    for view, history in (("ac_contacts", "ac_contact_history"), ("ac_deals", "ac_deal_history")):
        columns = "select array_agg(column_name::text order by ordinal_position) from "
        columns += "information_schema.columns where table_name = :view"
        ((of_view,),) = fetch(database, columns, view=view)
        assert fetch(database, columns, view=history) == [([*of_view, "valid_from", "valid_to"],)]
        assert fetch(
            database,
            f"select count(*) from (select {', '.join(of_view)} from {history} "
            f"where valid_to is null except select * from {view}) as rest",
        ) == [(0,)]


def test_changed_fields_of_a_contact_have_both_values(database: Database) -> None:
    """Columns, custom fields, tags and list memberships."""
    before: dict[str, Any] = {
        "firstName": "Ann",
        "phone": "1",
        "customFields": {"PLAN": field(7, "basic"), "CITY": field(8, "Bonn")},
        "tags": ["new", "vip"],
        "lists": [{"id": "1", "status": "active"}, {"id": "2", "status": "active"}],
    }
    after = before | {
        "phone": "2",
        "customFields": {"PLAN": field(7, "gold"), "CITY": field(8, "Bonn")},
        "tags": ["old", "vip"],
        "lists": [{"id": "1", "status": "unsubscribed"}, {"id": "3", "status": "active"}],
    }
    name_fields(database, "contacts", {"7": "PLAN", "8": "CITY"})
    sync_all(database, {"contacts": people(1, 2, **before)})
    sync_id, _ = sync_all(database, {"contacts": [*people(1, **after), *people(2, **before)]})

    assert fetch(database, CHANGES, id=1) == [
        ("custom_fields.PLAN", "basic", "gold"),
        ("lists.1", "active", "unsubscribed"),
        ("lists.2", "active", None),
        ("lists.3", None, "active"),
        ("phone", "1", "2"),
        ("tags", "new", None),
        ("tags", None, "old"),
    ]
    assert fetch(
        database, "select distinct sync_id, data_type, record_id from ac_field_changes"
    ) == [(sync_id, "contacts", 1)]
    assert fetch(
        database,
        "select count(*) from ac_field_changes join ac_published as published using (sync_id) "
        "where changed_at = synced_at",
    ) == [(7,)]


def test_changed_fields_of_a_deal_have_both_values(database: Database) -> None:
    """Money is in whole units, as in ac_deals."""
    price = field(5, "100", fieldType="currency")
    before = {
        "id": "1", "title": "A deal", "value": "1050", "currency": "usd", "status": "0",
        "stage": "1", "customFields": {"Price": price | {"currency": "usd"}},
    }  # fmt: skip
    after = before | {
        "value": "2000", "status": "1", "stage": "2",
        "customFields": {"Price": price | {"currency": "eur"}},
    }  # fmt: skip
    name_fields(database, "deals", {"5": "Price"}, "currency")
    sync_all(database, {"deals": [before]})
    sync_all(database, {"deals": [after]})

    assert fetch(database, CHANGES, id=1) == [
        ("custom_fields.Price_currency", "usd", "eur"),
        ("stage_id", "1", "2"),
        ("status", "open", "won"),
        ("value", "10.50", "20.00"),
    ]


def name_fields(
    database: Database, name: DatasetName, keys: dict[str, str], kind: str = "text"
) -> None:
    for field_id, key in keys.items():
        fetch(
            database,
            "insert into ac_field_columns (data_type, field_id, type, key, first_sync) "
            "values (:name, :field_id, :kind, :key, 'sync-1')",
            name=name, field_id=field_id, kind=kind, key=key,
        )  # fmt: skip


def test_new_names_are_no_changed_fields(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """A field or a list that was renamed would otherwise drown the real changes."""
    copy_account()
    for listing in ("contact_fields", "lists", "pipelines", "stages"):
        for row in account.metadata.listings[listing]:
            row.update({key: "New name" for key in ("name", "title", "perstag") if key in row})
    changed = account.change("contacts", 5)
    copy_account()

    rows = fetch(database, "select distinct record_id from ac_field_changes")

    assert {record_id for (record_id,) in rows} == {*changed}


def test_a_relation_that_was_not_read_loses_no_tags(database: Database) -> None:
    """Its column is null, which says nothing about the contact."""
    sync_all(
        database, {"contacts": people(1, tags=["vip"], lists=[{"id": "1", "status": "active"}])}
    )
    sync_all(database, {"contacts": people(1, phone="1")})

    assert fetch(database, CHANGES, id=1) == [("phone", None, "1")]


def test_a_renamed_tag_is_no_change_of_a_contact(database: Database) -> None:
    """The rows that join contacts and tags keep their ids."""
    sync_all(database, {"contacts": people(1, tags=["old"], contactTags=["5"], phone="1")})
    sync_all(database, {"contacts": people(1, tags=["new"], contactTags=["5"], phone="2")})

    assert fetch(database, CHANGES, id=1) == [("phone", "1", "2")]


# Deleted records

DELETED = "select data_type, record_id, created_at, deleted_at from ac_deleted order by 1, 2"


def test_deleted_records_are_listed_permanently(
    account: Account, copy_account: CopyAccount, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their versions are dropped with the history, and no personal data is kept."""
    monkeypatch.setenv("ACSYNC_KEEP_SYNCS", "1")
    copy_account()
    gone = {name: account.delete(name, 3) for name in DATASETS}
    records = """
        select 'contacts', contact_id, created_at from ac_contacts where contact_id = any(:contacts)
        union all
        select 'deals', deal_id, created_at from ac_deals where deal_id = any(:deals)
        order by 1, 2
    """
    known = fetch(database, records, **gone)
    copy_account()
    ((deleted_at,),) = fetch(database, "select max(synced_at) from ac_published")
    for _ in range(2):
        copy_account()

    assert fetch(database, DELETED) == [(*row, deleted_at) for row in known]
    assert len(known) == 6


def test_a_record_that_comes_back_is_not_deleted(database: Database) -> None:
    """Every id is either in the view or in ac_deleted, so both together count each record once."""
    for ids in ((1, 2), (2,), (1, 2), (1,), (1,)):
        sync_all(database, {"contacts": people(*ids)})

    assert [row[:3] for row in fetch(database, DELETED)] == [("contacts", 2, None)]


# Lists

LIST_CHANGES = """
    select contact_id, list_id, was, became from ac_list_changes
    join ac_published using (sync_id) where changed_at = synced_at order by sync_no, 1, 2
"""


def on_list(contact: int, status: str) -> list[Record]:
    return people(contact, lists=[{"id": "1", "name": "News", "status": status}])


def test_list_changes_include_new_and_deleted_contacts(database: Database) -> None:
    """Gained and lost subscriptions add up to the size of the list; the first sync gains none."""
    first = on_list(1, "active")
    sync_all(database, {"contacts": first})
    sync_all(database, {"contacts": [*first, *on_list(2, "active")]})
    sync_all(database, {"contacts": [*first, *on_list(2, "unsubscribed")]})
    sync_all(database, {"contacts": on_list(2, "unsubscribed")})

    assert fetch(database, LIST_CHANGES) == [
        (2, 1, None, "active"),
        (2, 1, "active", "unsubscribed"),
        (1, 1, "active", None),
    ]
    assert fetch(database, "select record_id, field, was, became from ac_field_changes") == [
        (2, "lists.1", "active", "unsubscribed")
    ]


def test_changed_fields_go_with_the_versions_of_their_sync(
    account: Account, copy_account: CopyAccount, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold personal data, so they are kept no longer than the history."""
    monkeypatch.setenv("ACSYNC_KEEP_SYNCS", "1")
    for _ in range(3):
        for name in DATASETS:
            account.change(name, 20)
        sync_id = copy_account().sync_id

    assert fetch(database, "select distinct sync_id from ac_field_changes") == [(sync_id,)]
    kept = "select count(distinct sync_no) from ac_stored_changes"
    assert fetch(database, kept) == [(1,)]


def test_a_corrected_currency_corrects_earlier_values(database: Database) -> None:
    """Amounts are stored in minor units, because nobody knows what is sent for the yen."""
    deal = {"id": "1", "value": "1050", "currency": "jpy"}
    sync_all(database, {"deals": [deal]})
    sync_all(database, {"deals": [deal | {"value": "2000"}]})
    fetch(database, "update ac_currencies set digits = 0 where code = 'jpy'")

    assert fetch(database, CHANGES, id=1) == [("value", "1050", "2000")]
