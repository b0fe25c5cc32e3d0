"""A migration keeps the whole copy of an account."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

import migrations
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from tests.support.fixtures import CopyAccount
from tests.support.postgres import Postgres, execute, upgrade_to
from tests.support.syncs import fetch, rows_of

# The tables that are copied from a newer schema into an older one, in this order.
COPIED = (
    "ac_account", "ac_sync_logs", "ac_published", "ac_contact_versions", "ac_deal_versions",
    "ac_deal_stages", "ac_field_columns",
)  # fmt: skip
# The deals' datetime field, and its second column: its values have no offset.
DATETIME = "grosse_taille"
LOCAL = "grosse_taille_10_local_datetime"

COMMON = """
    select string_agg(quote_ident(attname), ', ') from pg_attribute
    where attrelid = cast(:older as regclass) and attnum > 0 and not attisdropped
      and attname in (
          select attname from pg_attribute
          where attrelid = cast(:newer as regclass) and attnum > 0 and not attisdropped
      )
"""


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with a field of each type."""
    return AccountOptions(
        contacts=120, deals=90, rate_limit=None, contact_fields=14, deal_fields=14
    )


@pytest.fixture
def older(postgres: Postgres, database_url: str) -> Iterator[Database]:
    """Open the schema `older` at revision 0009, the last one before these."""
    with closing(postgres.open(database_url, "older")) as database:
        upgrade_to(database, "0009")
        yield database


def copy_tables(database: Database) -> None:
    """Fill the tables of the schema `older` from those in `public`."""
    for table in COPIED:
        ((columns,),) = fetch(database, COMMON, older=f"older.{table}", newer=f"public.{table}")
        execute(
            database,
            f"insert into older.{table} ({columns}) overriding system value "
            f"select {columns} from public.{table}",
        )
    for table, column in (("ac_sync_logs", "id"), ("ac_field_columns", "position")):
        execute(
            database,
            f"select setval(pg_get_serial_sequence('older.{table}', '{column}'), "
            f"(select max({column}) from older.{table}))",
        )
    # Named by later revisions only.
    execute(
        database, "update older.ac_field_columns set type = 'datetime' where type like '%datetime'"
    )
    execute(database, "select older.ac_update_wide_view('contacts')")
    execute(database, "select older.ac_update_wide_view('deals')")


def without_empty(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of a wide view with null for what is empty, as it became."""
    return [
        {
            column: None if column not in ("tags", "lists") and value in ("", []) else value
            for column, value in row.items()
        }
        for row in rows
    ]


def test_wide_views_survive_the_migration(
    account: Account,
    copy_account: CopyAccount,
    older: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Current and kept versions get their values, and views of users stay."""
    assert copy_account().success
    account.change("contacts", 20)
    assert copy_account().success
    copy_tables(older)
    before = {
        view: rows_of(older, f"older.{view}") for view in ("ac_contacts_wide", "ac_deals_wide")
    }
    execute(older, "create view older.of_a_user as select * from older.ac_contacts_wide")
    changes = "select * from {}.ac_field_changes order by data_type, record_id, field, was, became"

    assert migrations.upgrade(older) == ("0009", migrations.HEAD)

    for view, rows in before.items():
        after = without_empty(rows_of(older, f"older.{view}"))
        assert [*after[0]][: len(rows[0])] == [*rows[0]]
        assert {*after[0]} - {*rows[0]} <= {"changed_at", "closed_at", LOCAL}
        current = without_empty(rows_of(older, f"public.{view}"))
        for column in {*current[0]} - {"changed_at"}:
            shown = LOCAL if LOCAL in after[0] and column == DATETIME else column
            assert [row[shown] for row in after] == [row[column] for row in current], column
    older_rows = [{column: row[column] for column in before["ac_contacts_wide"][0]}
                  for row in rows_of(older, "older.ac_contacts_wide")]  # fmt: skip
    assert rows_of(older, "older.of_a_user") == older_rows
    assert fetch(older, changes.format("older")) == fetch(older, changes.format("public"))
    for name in ("contact", "deal"):
        assert fetch(
            older,
            "select count(*) filter (where new.field_values is distinct from old.field_values) "
            f"from public.ac_{name}_versions as new join older.ac_{name}_versions as old "
            "using (record_id, valid_from)",
        ) == [(0,)]

    assert fetch(older, "select count(*) from older.ac_pipelines where is_listed") > [(0,)]
    assert fetch(
        older,
        "select count(*) filter (where changed_at = synced_at) > 0, "
        "bool_and(changed_at <= synced_at) from older.ac_contacts",
    ) == [(True, True)]

    account.metadata.listings["lists"][0]["name"] = "Renamed since"
    monkeypatch.setenv("ACSYNC_SCHEMA", "older")
    result = copy_account()
    assert result.success
    assert [(dataset.warnings, dataset.fields) for dataset in result.datasets.values()] == [
        ((), ())
    ] * 2
    assert [
        dataset.changes and dataset.changes.updated for dataset in result.datasets.values()
    ] == [0, 0]
    assert [dataset.changes and dataset.changes.added for dataset in result.datasets.values()] == [
        0,
        0,
    ]
    contacts = result.datasets["contacts"].changes
    assert contacts
    assert contacts.refreshed > 0


def test_an_upgrade_keeps_the_history_that_it_finds(
    copy_account: CopyAccount, database: Database, older: Database
) -> None:
    """Nobody knows the setting of the last sync, and the next one can come from any shell."""
    for days in (3, 0):
        copy_account("contacts")
        fetch(
            database,
            f"update ac_published set synced_at = synced_at - interval '{days} days'",
        )
    copy_tables(older)

    migrations.upgrade(older)

    assert fetch(older, "select keep from older.ac_retention") == [("72h",)]


def test_an_upgrade_explains_the_stays_that_it_finds(
    account: Account, copy_account: CopyAccount, older: Database
) -> None:
    """The stays of an older copy follow from each other, like those of a new one."""
    assert copy_account().success
    for _ in range(2):
        account.change("deals", 30)
        account.add("deals", 3)
        account.delete("deals", 3)
        account.delete("contacts", 3)
        assert copy_account().success
    copy_tables(older)

    migrations.upgrade(older)

    for table in ("ac_deal_stages", "ac_deleted"):
        rows = fetch(older, f"select * from older.{table}")
        assert rows
        assert set(rows) == {*fetch(older, f"select * from public.{table}")}
    assert fetch(
        older, "select count(*) from older.ac_deal_stages where left_because = 'deleted'"
    ) == [(6,)]


def test_an_upgrade_finds_the_relations_that_the_last_full_sync_left_out(
    postgres: Postgres, database_url: str
) -> None:
    """Otherwise incremental syncs of such an account would fail until the next full one."""
    warnings = ["12 lists are kept", "ActiveCampaign does not send {} along with the contacts: …"]
    with closing(postgres.open(database_url, "older")) as database:
        upgrade_to(database, "0024")
        for number, kept in enumerate((None, [], warnings[:1], warnings), 1):
            fetch(
                database,
                'insert into older.ac_sync_logs (sync_id, "timestamp", contacts_warnings) '
                "values (:sync_id, now(), :kept)",
                sync_id=f"sync-{number}",
                kept=kept and [text.format("tags and lists") for text in kept],
            )

        migrations.upgrade(database)

        left_out = fetch(database, "select contacts_left_out from older.ac_sync_logs order by id")
        assert left_out == [(None,), (None,), (None,), (["tags", "lists"],)]
