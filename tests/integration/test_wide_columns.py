"""The stored rows behind the wide views are those of the current versions, typed and indexable."""

from datetime import datetime
from typing import Any

import pytest

from acsync.datasets import DATASETS
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from tests.support.fixtures import CopyAccount
from tests.support.postgres import execute
from tests.support.syncs import fetch, people, sync_all

STEP = "select ac_update_wide_view('contacts')"
PLANS = "select contact_id, plan from ac_contacts_wide order by 1"


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with a field of each type."""
    return AccountOptions(
        contacts=120, deals=90, rate_limit=None, contact_fields=14, deal_fields=14
    )


def add_field(database: Database, field_id: int, kind: str, column: str) -> None:
    fetch(
        database,
        "insert into ac_field_columns (data_type, field_id, type, key, column_name, first_sync) "
        "values ('contacts', :field_id, :kind, :column, :column, 'sync-1')",
        field_id=str(field_id), kind=kind, column=column,
    )  # fmt: skip


def with_value(number: int, field_id: int, value: str, **values: str) -> Any:
    (person,) = people(
        number, customFields={"KEY": {"fieldId": str(field_id), "value": value} | values}
    )
    return person


def stored_rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: fetch(database, f"select * from ac_{name}_columns order by 1")
        for name in ("contact", "deal")
    }


def test_the_stored_rows_are_those_of_a_rebuild(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Records come, change, get new names and go; no row is missing, stale or left over."""
    copy_account()
    for _ in range(2):
        for name in DATASETS:
            account.change(name, 20)
            account.delete(name, 3)
            account.add(name, 3)
        account.metadata.listings["lists"][0]["name"] += "!"
        account.metadata.listings["stages"][0]["title"] += "!"
        assert copy_account().success
    stored = stored_rows(database)

    for table, dataset in (("ac_contact_columns", "contacts"), ("ac_deal_columns", "deals")):
        ((insert,),) = fetch(database, f"select ac_wide_insert('{dataset}')")
        execute(database, f"truncate {table}; {insert}")

    assert [len(rows) for rows in stored.values()] == [120, 90]
    assert stored_rows(database) == stored
    assert fetch(
        database, "select count(*) from ac_deals_wide join ac_deals using (deal_id, changed_at)"
    ) == [(90,)]


def test_a_corrected_currency_applies_from_the_next_sync(
    copy_account: CopyAccount, database: Database
) -> None:
    """What ActiveCampaign sends for yen is unknown, so a person may have to correct it."""
    copy_account()
    ((column,),) = fetch(
        database,
        "select column_name from ac_fields "
        "where data_type = 'deals' and type = 'currency' order by column_name limit 1",
    )
    money = f"""
        select wide.value, deals.value, case {column}_currency when 'usd' then {column} end
        from ac_deals_wide as wide join ac_deals as deals using (deal_id)
        where deals.currency = 'usd' order by deal_id
    """
    before = fetch(database, money)
    fetch(database, "insert into ac_currencies values ('usd', 0)")

    copy_account()

    assert any(row[2] for row in before)
    assert fetch(database, money) == [
        tuple(amount and amount * 100 for amount in row) for row in before
    ]


def test_money_is_rounded_to_the_digits_of_its_currency(database: Database) -> None:
    """It was 4144.2600000000000000. A currency that is not listed has two digits."""
    fetch(database, "update ac_currencies set digits = 3 where code = 'kwd'")
    add_field(database, 7, "currency", "price")
    money = (("1", "eur"), ("414426", "KWD"), ("5.55", "xyz"), ("", "usd"), ("1", None))
    people = [
        with_value(number, 7, value, **({"currency": code} if code else {}))
        for number, (value, code) in enumerate(money, 1)
    ]
    sync_all(database, {"contacts": people})
    for _ in range(3):
        execute(database, STEP)

    assert [
        (str(price), code)
        for price, code in fetch(
            database, "select price, price_currency from ac_contacts_wide order by contact_id"
        )
    ] == [("0.01", "eur"), ("414.426", "KWD"), ("0.06", "xyz"), ("None", "usd"), ("0.01", None)]


def test_a_sync_between_the_steps_of_a_new_column_loses_no_value(database: Database) -> None:
    """The table has the column, the older rows are not filled yet, and a sync publishes."""
    first = [with_value(1, 7, "basic"), with_value(2, 7, "gold")]
    sync_all(database, {"contacts": first})
    add_field(database, 7, "text", "plan")

    steps = [fetch(database, STEP)]
    sync_all(database, {"contacts": [with_value(1, 7, "new"), first[1], with_value(3, 7, "third")]})
    steps += [fetch(database, STEP) for _ in range(3)]

    assert fetch(database, PLANS) == [(1, "new"), (2, "gold"), (3, "third")]
    assert steps == [[(True,)], [(True,)], [(True,)], [(False,)]]


def test_filling_a_new_column_locks_no_reader_out(database: Database) -> None:
    """It takes seconds for a large account."""
    sync_all(database, {"contacts": [with_value(1, 7, "basic")]})
    add_field(database, 7, "text", "plan")
    execute(database, STEP)
    locks = "select mode from pg_locks where relation = 'ac_contact_columns'::regclass and granted"

    with database.begin() as filling:
        filling.exec_driver_sql(STEP)
        held = {mode for (mode,) in fetch(database, locks)}

    assert held == {"RowExclusiveLock"}


def test_more_columns_than_fit_into_a_row_are_still_shown(database: Database) -> None:
    """A row of Postgres has 8 kB, and each long text takes 18 bytes of it."""
    values = {
        f"K{number}": {"fieldId": str(number), "value": f"{number} " * 1000}
        for number in range(1, 460)
    }
    for number in range(1, 460):
        add_field(database, number, "text", f"field_{number}")
    sync_all(database, {"contacts": people(1, customFields=values)})
    for _ in range(3):
        execute(database, STEP)
    sync_all(database, {"contacts": people(1, 2, customFields=values)})

    rows = fetch(
        database,
        "select field_1, field_300, field_301, field_459 from ac_contacts_wide order by contact_id",
    )
    expected = tuple(f"{number} " * 1000 for number in (1, 300, 301, 459))
    assert rows == [expected, expected]


@pytest.mark.parametrize("name", ["more", "xmin", "ctid", "stored", "fields", "f"])
def test_a_field_can_have_any_name(database: Database, name: str) -> None:
    """Also that of a system column of Postgres, which no table can have."""
    add_field(database, 7, "date", name)
    sync_all(database, {"contacts": [with_value(1, 7, "2026-11-28")]})
    for _ in range(3):
        execute(database, STEP)

    assert fetch(database, f"select {name}::text from ac_contacts_wide") == [("2026-11-28",)]


def test_times_without_an_offset_are_local_times(database: Database) -> None:
    """The column was always null. A field keeps its kind, also if offsets come later."""
    add_field(database, 7, "local datetime", "due")
    values = [
        *("2021-03-31 21:39:19", "2021-03-31T21:39", "2021-03-31 21:39:19Z", "soon", ""),
        *("2021-02-30 00:00:00", "2021-03-31 24:00:00", "0000-00-00 00:00:00"),
    ]
    sync_all(database, {"contacts": [with_value(n, 7, value) for n, value in enumerate(values, 1)]})
    for _ in range(3):
        execute(database, STEP)

    rows = fetch(database, "select due from ac_contacts_wide order by contact_id")
    assert [row[0] for row in rows] == [
        datetime.fromisoformat("2021-03-31T21:39:19"),
        datetime.fromisoformat("2021-03-31T21:39:00"),
        *[None] * 6,
    ]


def test_a_datetime_field_gets_the_kind_of_its_values(
    copy_account: CopyAccount, database: Database
) -> None:
    """Contacts have offsets here and deals have none."""
    copy_account()
    kinds = "select data_type, type from ac_fields where type like '%datetime' order by 1"

    assert fetch(database, kinds) == [("contacts", "datetime"), ("deals", "local datetime")]
    for name in DATASETS:
        ((column,),) = fetch(
            database,
            "select column_name from ac_fields where type like '%datetime' and data_type = :name",
            name=name,
        )
        assert fetch(database, f"select count({column}) > 10 from ac_{name}_wide") == [(True,)]


def test_what_is_empty_is_null(database: Database) -> None:
    """Charts had two blank bars, and count(email) counted empty addresses."""
    add_field(database, 7, "text", "plan")
    add_field(database, 8, "listbox", "interests")
    custom = {"A": {"fieldId": "7", "value": ""}, "B": {"fieldId": "8", "value": "||"}}
    empty = dict.fromkeys(("email", "firstName", "lastName", "phone"), "")
    sync_all(database, {"contacts": [{"id": "1", "tags": [], "customFields": custom, **empty}]})
    for _ in range(3):
        execute(database, STEP)

    columns = "email, first_name, last_name, phone, plan, interests, tags"
    assert fetch(database, f"select distinct {columns} from ac_contacts_wide") == [
        (*[None] * 6, [])
    ]


def test_an_index_on_a_column_serves_the_wide_view(
    copy_account: CopyAccount, database: Database
) -> None:
    """No index could: the view read JSON behind a fence."""
    copy_account()
    execute(database, "create index on ac_contact_columns (plan)")

    with database.begin() as connection:
        connection.exec_driver_sql("set local enable_seqscan = off")
        plan = connection.exec_driver_sql(
            "explain select contact_id, synced_at from ac_contacts_wide where plan = 's'"
        ).scalars()
        assert "ac_contact_columns_plan_idx" in "\n".join(plan)


UNCOMMENTED = """
    select relname, attname from pg_class join pg_attribute on attrelid = pg_class.oid
    where relnamespace = 'public'::regnamespace and attnum > 0
      and (relkind = 'v' or relname in ('ac_deal_stages', 'ac_deleted', 'ac_currencies'))
      and (col_description(attrelid, attnum) is null or obj_description(oid, 'pg_class') is null)
"""


def test_every_view_and_every_column_of_one_has_a_comment(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Tools show it. Columns that are added later have one too."""
    copy_account()
    fields = account.metadata.listings["deal_fields"]
    currency = next(field for field in fields if field["fieldType"] == "currency")
    fields.append({**currency, "id": "901", "fieldLabel": "Newest"})
    copy_account()

    assert fetch(database, "select newest, newest_currency from ac_deals_wide limit 1")
    assert fetch(database, UNCOMMENTED) == []


def test_changes_are_stored_with_the_versions(database: Database) -> None:
    """They say whether a record is new, also if it was there before and comes back."""
    sync_all(database, {"contacts": people(1, 2)})
    sync_all(database, {"contacts": people(2, 3, phone="1")})
    sync_all(database, {"contacts": people(1, 2, 3, phone="1")})

    assert fetch(
        database, "select change, record_id from ac_changes order by changed_at, change, record_id"
    ) == [
        *(("added", 1), ("added", 2)),
        *(("added", 3), ("deleted", 1), ("updated", 2)),
        ("added", 1),
    ]
