"""Typed columns for BI tools are named once, never dropped, and block nobody."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection

from acsync.datasets import Record
from acsync.errors import StoreError
from acsync.results import CustomField
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import expected_record
from acsync.store.database import Database
from acsync.store.sync_status import read_status
from acsync.store.wide_views import choose_column
from tests.support.fixtures import CopyAccount
from tests.support.postgres import Postgres, execute, url_of
from tests.support.syncs import fetch, people, rows_of, sync_all

SMALL = AccountOptions(contacts=120, deals=90, rate_limit=None, contact_fields=14, deal_fields=14)


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with a field of each type."""
    return SMALL


def fields_of(database: Database, data_type: str) -> list[tuple[Any, ...]]:
    sql = (
        "select field_id, key, title, type, column_name from ac_fields "
        "where data_type = :data_type order by field_id::int, type"
    )
    return fetch(database, sql, data_type=data_type)


def expected_value(entry: Record | None, kind: str) -> Any:
    """Return the value that a column of this type shows, computed without the SQL under test."""
    value: Any = entry and entry["value"]
    return CONVERSIONS.get(kind, expected_text)(value) if value else None


def expected_text(value: str) -> str | None:
    return value.replace("\0", "") or None


def expected_date(value: str) -> date | None:
    match = re.match(r"\d{4}-\d\d-\d\d", value)
    return date.fromisoformat(match[0]) if match and match[0] > "0001" else None


def expected_choices(value: str) -> list[str] | None:
    return [choice for choice in value.split("||") if choice] or None


CONVERSIONS: dict[str, Callable[[str], Any]] = {
    "date": expected_date,
    "datetime": datetime.fromisoformat,
    "local datetime": datetime.fromisoformat,
    "number": Decimal,
    "currency": lambda value: round(Decimal(value) / 100, 2),
    **dict.fromkeys(("listbox", "checkbox", "multiselect"), expected_choices),
}


@pytest.mark.parametrize(("name", "label"), [("contacts", "fieldTitle"), ("deals", "fieldLabel")])
def test_every_value_is_in_the_column_of_its_type(
    name: Any, label: str, account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Compared with the account's own records, for all types."""
    assert copy_account().success

    rows = rows_of(database, f"ac_{name}_wide")
    catalogue = fields_of(database, name)
    base = [column for column in rows[0] if column in BASE[name]]

    assert len({kind for *_, kind, _ in catalogue}) >= 8
    assert base == BASE[name]
    assert len(catalogue) == 14
    for row, record_id in zip(rows, account.ids(name), strict=True):
        custom = expected_record(account, name, record_id)["customFields"]
        by_field = {entry["fieldId"]: entry for entry in reversed(custom.values())}
        is_masked = row.get("is_masked")
        for field_id, _key, title, kind, column in catalogue:
            entry = by_field.get(field_id)
            assert entry is None or entry[label] == title
            assert row[column] == (None if is_masked else expected_value(entry, kind)), column
            if kind == "currency":
                assert row[f"{column}_currency"] == (entry and entry["currency"])


BASE = {
    "contacts": [
        *("contact_id", "email", "first_name", "last_name", "phone", "created_at", "updated_at"),
        *("synced_at", "tags", "lists", "changed_at"),
    ],
    "deals": [
        *("deal_id", "title", "value_minor", "value", "currency", "status", "pipeline_id"),
        *("pipeline", "stage_id", "stage", "owner_id", "owner", "contact_id", "created_at"),
        *("updated_at", "is_masked", "synced_at", "changed_at", "closed_at"),
    ],
}


def test_fields_come_change_and_go_while_readers_read(
    account: Account, copy_account: CopyAccount, database: Database, postgres: Postgres
) -> None:
    """Columns are added or kept. A user's own view and an open cursor never notice."""
    assert copy_account().success
    before = rows_of(database, "ac_contacts_wide")
    execute(database, "create view of_a_user as select * from ac_contacts_wide")
    fields = account.metadata.listings["contact_fields"]
    renamed, retyped, vanished = (next(field for field in fields if field["type"] == kind)
                                  for kind in ("text", "date", "dropdown"))  # fmt: skip
    columns = {row[0]: row[4] for row in fields_of(database, "contacts")}
    renamed["perstag"], renamed["title"] = "ANOTHER_NAME", "Another name"
    retyped["type"] = "text"
    fields.remove(vanished)
    fields.append({**renamed, "id": "901", "perstag": "ANOTHER_NAME", "type": "number"})

    url = database.engine.url.render_as_string(hide_password=False)
    with closing(postgres.open(url)) as other, other.begin() as reader:
        reader.exec_driver_sql("select count(*) from ac_contacts_wide")
        started = time.monotonic()
        result = copy_account()
        assert result.success
        assert reader.exec_driver_sql("select count(*) from ac_contacts_wide").scalar() == 120
        blocked = rows_of(database, "ac_contacts_wide")
    assert list(blocked[0]) == list(before[0])
    assert time.monotonic() - started < 60
    changes = {(change.kind, change.column) for change in result.datasets["contacts"].fields}
    assert changes == {
        ("renamed", columns[renamed["id"]]),
        ("retyped", f"{columns[retyped['id']]}_{retyped['id']}_text"),
        ("vanished", columns[vanished["id"]]),
        ("new", "another_name_901"),
    }

    again = copy_account()
    after = rows_of(database, "ac_contacts_wide")

    assert again.datasets["contacts"].fields == ()
    assert list(after[0])[: len(before[0])] == list(before[0])
    assert list(after[0])[len(before[0]) :] == [
        f"{columns[retyped['id']]}_{retyped['id']}_text",
        "another_name_901",
    ]
    own, new_own = columns[renamed["id"]], columns[vanished["id"]]
    assert [row[own] for row in after] == [row[own] for row in before]
    assert [row[new_own] for row in after] == [row[new_own] for row in before]
    assert fetch(database, "select count(*) from of_a_user") == [(120,)]
    gone = fetch(
        database,
        "select last_sync <> (select sync_id from ac_latest_sync) from ac_fields "
        "where data_type = 'contacts' and field_id = :id",
        id=vanished["id"],
    )
    assert gone == [(True,)]


@contextmanager
def reader_of(database: Database, postgres: Postgres, view: str) -> Iterator[Connection]:
    """Keep a view in an open transaction, as a BI tool or a dump does."""
    url = database.engine.url.render_as_string(hide_password=False)
    with closing(postgres.open(url)) as other, other.begin() as reader:
        reader.exec_driver_sql(f"select count(*) from {view}")
        yield reader


def test_a_renamed_field_keeps_its_values(
    account: Account, copy_account: CopyAccount, database: Database, postgres: Postgres
) -> None:
    """Another field gets the old key. Only comments change, and no reader waits."""
    assert copy_account().success
    before = rows_of(database, "ac_deals_wide")
    fields = account.metadata.listings["deal_fields"]
    columns = {row[0]: row[4] for row in fields_of(database, "deals")}
    renamed, other = (
        next(field for field in fields if field["fieldType"] == kind) for kind in ("text", "number")
    )
    renamed["fieldLabel"], other["fieldLabel"] = "Another name", renamed["fieldLabel"]

    with reader_of(database, postgres, "ac_deals_wide"):
        result = copy_account()
        held = rows_of(database, "ac_deals_wide")

    assert result.success
    assert result.datasets["deals"].warnings == ()
    kinds = {change.field.field_id: change.kind for change in result.datasets["deals"].fields}
    assert kinds[str(renamed["id"])] == kinds[str(other["id"])] == "renamed"
    for column in columns.values():
        assert [row[column] for row in held] == [row[column] for row in before], column
    comment = "select col_description('ac_deals_wide'::regclass, attnum) from pg_attribute "
    comment += "where attrelid = 'ac_deals_wide'::regclass and attname = :column"
    ((shown,),) = fetch(database, comment, column=columns[str(renamed["id"])])
    assert shown.startswith("Another name (text, field ")


def test_the_first_of_two_values_is_shown_with_its_currency(database: Database) -> None:
    """A record can hold two values of one field, and values of deleted fields."""
    execute(
        database,
        "insert into ac_field_columns (data_type, field_id, type, key, column_name, first_sync) "
        "values ('contacts', '7', 'currency', 'PRICE', 'price', 'sync-1')",
    )
    first, second = ({"fieldId": "7", "value": value, "currency": code}
                     for value, code in (("100", "eur"), ("200", "usd")))  # fmt: skip
    broken = {"a": 7, "b": None, "c": [1], "d": {"value": "x"}, "e": {"fieldId": None}}
    sync_all(
        database,
        {
            "contacts": [
                *people(1, customFields={"PRICE": first, "PRICE_7": second} | broken),
                *people(2, customFields={"field_7": {"fieldId": "7", "value": None}}),
                *people(3, customFields=[]),
                *people(4),
            ]
        },
    )
    for _ in range(3):  # adds the columns, fills them, shows them
        execute(database, "select ac_update_wide_view('contacts')")

    rows = [(row["price"], row["price_currency"]) for row in rows_of(database, "ac_contacts_wide")]
    assert rows == [(Decimal(1), "eur"), *[(None, None)] * 3]


def test_a_view_that_a_reader_holds_is_warned_of(
    account: Account, copy_account: CopyAccount, database: Database, postgres: Postgres
) -> None:
    """A new field needs the view's lock. Result and status say that it is missing."""
    assert copy_account().success
    fields = account.metadata.listings["contact_fields"]
    fields.append({**fields[0], "id": "901", "perstag": "NEWEST"})

    with reader_of(database, postgres, "ac_contacts_wide"):
        result = copy_account()
    status = read_status(database)
    again = copy_account()

    assert result.success
    (warning,) = result.datasets["contacts"].warnings
    assert "wide view of the contacts is not up to date" in warning
    assert "try again when it has ended" in warning
    assert status.warnings == (warning,)
    assert again.datasets["contacts"].warnings == ()
    assert "newest" in rows_of(database, "ac_contacts_wide")[0]


def test_a_role_that_may_not_update_the_view_is_warned(
    copy_account: CopyAccount,
    database: Database,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The documented grants were not run again, so data comes but no columns."""
    role = f"syncs_{len(postgres.made)}"
    postgres.execute(f"create role {role} login")
    execute(
        database,
        f"grant select, insert, update, delete, truncate on all tables in schema public to {role}",
    )
    monkeypatch.setenv("POSTGRES_URL", url_of(database, role))

    result = copy_account()

    assert result.success
    for name, dataset in result.datasets.items():
        (warning,) = dataset.warnings
        assert f"wide view of the {name} is not up to date" in warning
        assert "permission denied for function ac_update_wide_view" in warning


@pytest.mark.parametrize("dataset", ["'x'", "null"])
def test_there_is_no_wide_view_of_anything_else(database: Database, dataset: str) -> None:
    """It used to change the view of the deals."""
    with pytest.raises(StoreError, match="there is no wide view"):
        execute(database, f"select ac_update_wide_view({dataset})")


HOSTILE = (
    *("order", "email", "Préféré, ja?", "日本語", "1st", "a" * 70, "a" * 70),
    *("'; drop table x --", '"q"', "%s %(x)s {y}", "email_33", "\x00", "select", "TAGS", "f", "e"),
)


def test_1600_fields_with_hostile_names_lose_no_value(
    account: Account, copy_account: CopyAccount, database: Database, postgres: Postgres
) -> None:
    """Fields without a column are named, and their values are in custom_fields.

    At the same time the existing fields are renamed, retyped and deleted.
    """
    assert copy_account().success
    before = rows_of(database, "ac_contacts_wide")
    execute(database, "create view of_a_user as select * from ac_contacts_wide")
    fields = account.metadata.listings["contact_fields"]
    template = fields[0]
    renamed, retyped, vanished = (
        next(field for field in fields if field["type"] == kind)
        for kind in ("text", "date", "dropdown")
    )
    was = {field_id: column for field_id, _, _, _, column in fields_of(database, "contacts")}
    renamed["title"], retyped["type"] = HOSTILE[0], "text"
    fields.remove(vanished)
    fields += [
        {
            **template,
            "id": str(1000 + number),
            "perstag": HOSTILE[number] if number < len(HOSTILE) else f"Field {number % 1500}",
            "title": HOSTILE[number % len(HOSTILE)],
            "type": "currency" if number % 2 else "text",
        }
        for number in range(1, 1601)
    ]

    url = database.engine.url.render_as_string(hide_password=False)
    with closing(postgres.open(url)) as other, other.begin() as reader:
        reader.exec_driver_sql("select count(*) from ac_contacts_wide")
        assert copy_account().success
        assert reader.exec_driver_sql("select count(*) from ac_contacts_wide").scalar() == 120
        assert list(rows_of(database, "ac_contacts_wide")[0]) == list(before[0])
    assert copy_account().success

    after = rows_of(database, "ac_contacts_wide")
    new = [row for row in fields_of(database, "contacts") if int(row[0]) > 1000]
    columns = [column for *_, column in new if column]
    shown = list(after[0])
    assert len(new) == 1600
    assert 900 < len(columns) < 1600
    assert shown[: len(before[0])] == list(before[0])
    assert len(shown) == len(set(shown)) <= 1510
    assert all(re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", column) for column in shown)
    assert {*columns} <= {*shown}
    assert columns[:6] == [
        *("email_1001", "prefere_ja", "field_1003", "_1st", f"{'a' * 49}_1005"),
        f"{'a' * 58}_1006",
    ]
    for kept in (was[renamed["id"]], was[vanished["id"]]):
        assert [row[kept] for row in after] == [row[kept] for row in before]
    assert fetch(database, "select count(*) from of_a_user") == [(120,)]


@pytest.mark.parametrize(
    ("field", "taken", "column"),
    [
        (CustomField("7", "PLAN", None, "text"), (), "plan"),
        (CustomField("7", "PLAN", None, "text"), ("plan",), "plan_7"),
        (CustomField("7", "PLAN", None, "text"), ("plan", "plan_7"), "plan_7_text"),
        (CustomField("7", "PLAN", None, "x"), ("plan", "plan_7", "plan_7_x"), "plan_7_x_2"),
        (CustomField("7", "PLAN", None, "x" * 99), ("plan", "plan_7"), "plan_7_" + "x" * 20),
        (CustomField("7", "Straße 9½", None, "text"), (), "strasse_91_2"),
        (CustomField("7", "a" * 63, None, "text"), (), "a" * 63),
        (CustomField("7", "a" * 64, None, "text"), (), "a" * 61 + "_7"),
        (CustomField("7", "PRICE", None, "currency"), ("price_currency",), "price_7"),
        (CustomField("7", "?!", None, "text"), (), "field_7"),
    ],
)
def test_a_column_is_named_after_the_key(
    field: CustomField, taken: tuple[str, ...], column: str
) -> None:
    assert choose_column(field.key, field.field_id, field.type, taken) == column


def test_the_role_of_the_syncs_updates_the_view(
    account: Account,
    copy_account: CopyAccount,
    database: Database,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The documented grants allow no change of a table, and no other role can call the function."""
    role = f"syncs_{len(postgres.made)}"
    postgres.execute(f"create role {role} login")
    execute(
        database,
        f"grant select, insert, update, delete, truncate on all tables in schema public to {role};"
        f"grant execute on all functions in schema public to {role}",
    )
    monkeypatch.setenv("POSTGRES_URL", url_of(database, role))

    assert copy_account().success

    assert len(rows_of(database, "ac_contacts_wide")[0]) > len(BASE["contacts"])
    ((may,),) = fetch(
        database,
        "select has_function_privilege('public', 'ac_update_wide_view(text)', 'execute')",
    )
    assert not may
    assert account.statistics.calls > 0


def test_columns_say_what_they_are(copy_account: CopyAccount, database: Database) -> None:
    """BI tools show the comments of columns."""
    copy_account()

    (comment,) = fetch(
        database,
        "select col_description('ac_contacts_wide'::regclass, attnum), options, labels "
        "from pg_attribute "
        "join ac_fields on column_name = attname and data_type = 'contacts' and type = 'dropdown' "
        "where attrelid = 'ac_contacts_wide'::regclass limit 1",
    )

    assert re.fullmatch(r".+ \(dropdown, field \d+\): .+, .+", comment[0])
    choices = [f"{option} ({label})" for option, label in zip(*comment[1:], strict=True)]
    assert comment[0].endswith(": " + ", ".join(choices))
