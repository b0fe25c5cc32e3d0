"""The documented grants are enough for a sync and a reader, and allow nothing more."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from acsync.errors import StoreError
from acsync.settings import read_database_settings
from acsync.store.database import Database, open_database
from acsync.store.sync_status import read_status
from tests.support.commands import acsync
from tests.support.documents import code_blocks
from tests.support.fixtures import CopyAccount
from tests.support.postgres import execute, url_of
from tests.support.syncs import last_log

GRANTS = "\n".join(code_blocks("postgresql"))
WITHOUT_TABLES = GRANTS.split("-- Only for roles")[0]
VIEWS = (
    "ac_contacts", "ac_deals", "ac_contacts_wide", "ac_deals_wide", "ac_fields", "ac_freshness",
    "ac_sync_data", "ac_changes", "ac_latest_sync", "ac_sync_statistics", "ac_contact_history",
    "ac_deal_history", "ac_field_changes", "ac_pipelines", "ac_stages", "ac_owners", "ac_lists",
    "ac_tags", "ac_contact_tags", "ac_contact_lists", "ac_field_choices", "ac_list_changes",
)  # fmt: skip
TABLES = (
    "ac_contact_versions", "ac_deal_versions", "ac_contact_columns", "ac_published", "ac_sync_logs",
    "ac_lease",
)  # fmt: skip
AS_OF = "select * from ac_records_as_of((select min(sync_id) from ac_changes))"


@pytest.fixture
def granted(database: Database) -> Iterator[Database]:
    """Run all documented grants except the last; drop the roles at the end."""
    execute(database, WITHOUT_TABLES)
    yield database
    for role in ("acsync_sync", "acsync_reader"):
        execute(database, f"drop owned by {role}; drop role {role}")


def opened(database: Database, role: str) -> "closing[Database]":
    return closing(open_database(read_database_settings(POSTGRES_URL=url_of(database, role))))


def denied(database: Database, sql: str) -> bool:
    """Return whether Postgres refuses the statement because a privilege is missing."""
    with pytest.raises(StoreError) as refusal:
        execute(database, sql)
    return "SQLSTATE 42501" in str(refusal.value)


@pytest.mark.usefixtures("prefect_api")
def test_a_sync_runs_with_the_documented_grants(
    copy_account: CopyAccount, granted: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second sync closes versions and deletes old syncs. Then the status is read."""
    monkeypatch.setenv("POSTGRES_URL", url_of(granted, "acsync_sync"))
    monkeypatch.setenv("ACSYNC_KEEP_SYNCS", "1")

    assert copy_account().success
    assert copy_account().success

    assert last_log(granted)["overall_success"] is True
    assert acsync("status", "--max-age", "30m").returncode == 0
    with opened(granted, "acsync_sync") as database:
        assert read_status(database).published["contacts"].record_count == 700


def test_the_role_of_the_syncs_changes_no_tables(granted: Database) -> None:
    """A leaked URL must not cost the tables, or anything that users built on them."""
    with opened(granted, "acsync_sync") as database:
        assert denied(database, "create table mine (id int)")
        assert denied(database, "drop table ac_contact_versions")
        assert denied(database, "alter table ac_sync_logs add column mine int")
        assert denied(database, "create or replace view ac_contacts as select 1")


def test_a_reader_reads_every_view_and_nothing_else(
    copy_account: CopyAccount, granted: Database
) -> None:
    """Views run with their owner's rights, so a reader needs no rights on the tables."""
    assert copy_account().success

    with opened(granted, "acsync_reader") as database:
        for readable in (*VIEWS, "ac_deal_stages", "ac_deal_events", "ac_deleted"):
            execute(database, f"select * from {readable}")
        assert [execute(database, f"select * from {view}") for view in VIEWS[:2]] == [700, 600]
        assert all(denied(database, f"select * from {table}") for table in TABLES)
        assert denied(database, "delete from ac_contacts")
        assert denied(database, "delete from ac_deals_wide")
        assert denied(database, AS_OF)
    execute(granted, GRANTS.split("-- Only for roles")[1].partition("\n")[2])
    with opened(granted, "acsync_reader") as database:
        assert execute(database, AS_OF) == 1_300
        assert denied(database, "update ac_contact_versions set valid_to = 1")


def test_the_grants_name_every_view_there_is(database: Database) -> None:
    """A view added later must get its grant."""
    sql = "select table_name from information_schema.views where table_schema = 'public'"
    with database.begin() as connection:
        views = connection.exec_driver_sql(sql).scalars().all()

    assert sorted(views) == sorted(VIEWS)
