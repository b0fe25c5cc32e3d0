"""An update is a change of content. Names, links and counters are refreshed in place."""

from collections.abc import Callable
from typing import Any

import pytest

from acsync.datasets import DatasetName
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from tests.support import faults
from tests.support.calls import on_path
from tests.support.fixtures import CopyAccount
from tests.support.syncs import assert_exact, fetch

pytestmark = pytest.mark.parametrize(
    "options",
    [
        AccountOptions(
            contacts=250, deals=250, contact_fields=14, deal_fields=14, rate_limit=None,
            masked_share=0,
        )
    ],
)  # fmt: skip

CHANGES = "select data_type, change, record_id from ac_changes where sync_id = :sync_id"
VERSIONS = """
    select (select count(*) from ac_contact_versions), (select count(*) from ac_deal_versions)
"""


def rename(*listings: tuple[Any, str]) -> Callable[[Account], None]:
    """Return a change of the first row of each listing."""

    def change(account: Account) -> None:
        for listing, key in listings:
            account.metadata.listings[listing][0][key] = "Another name"

    return change


def delete_pipeline(account: Account) -> None:
    account.metadata.delete("pipelines", "3")


@pytest.mark.parametrize(
    ("alter", "refreshed"),
    [
        (rename(("lists", "name")), ["contacts"]),
        (rename(("contact_fields", "title"), ("contact_fields", "perstag")), ["contacts"]),
        (rename(("contact_fields", "type")), ["contacts"]),
        (lambda account: account.metadata.listings["contact_fields"].pop(), ["contacts"]),
        (rename(("deal_fields", "fieldLabel")), ["deals"]),
        (rename(("pipelines", "title"), ("stages", "title"), ("users", "firstName")), ["deals"]),
        (delete_pipeline, []),
        (lambda account: account.metadata.delete("users", "2"), []),
        (lambda account: account.send_newsletter(account.ids("contacts")), ["contacts"]),
        (lambda account: setattr(account, "link_host", "b.example"), ["contacts", "deals"]),
    ],
    ids=[
        *("list", "contact field", "type of a field", "deleted field", "deal field"),
        *("pipeline, stage and owner", "deleted pipeline", "deleted user", "newsletter", "links"),
    ],
)
def test_only_changes_of_content_are_updates(
    alter: Callable[[Account], None],
    refreshed: list[DatasetName],
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """Renaming one list made 62,588 contacts `updated`, of which 799 had changed."""
    copy_account()
    ((contacts, deals),) = fetch(database, VERSIONS)
    alter(account)
    changed = {name: sorted(account.change(name, 7)) for name in ("contacts", "deals")}

    result = copy_account()

    assert_exact(database, account)
    for name, dataset in result.datasets.items():
        rows = fetch(database, CHANGES, sync_id=result.sync_id)
        assert sorted(row[2] for row in rows if row[:2] == (name, "updated")) == changed[name]
        assert dataset.changes
        assert bool(dataset.changes.refreshed) == (name in refreshed)
    assert fetch(database, VERSIONS) == [(contacts + 7, deals + 7)]
    assert [
        data.changes and data.changes.refreshed for data in copy_account().datasets.values()
    ] == [0, 0]


def test_a_renamed_tag_is_no_update(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Contacts name their tags by the ids of rows that a rename leaves."""
    copy_account()
    account.faults.add(faults.rename_tag("2", "Renamed"))

    result = copy_account("contacts")

    changes = result.datasets["contacts"].changes
    assert changes
    assert changes.updated == 0 < changes.refreshed
    renamed = "select count(*) from ac_contacts where tags @> '{Renamed}'"
    assert fetch(database, renamed) > [(0,)]
    tag = fetch(database, "select name, is_listed from ac_tags where id = 2")
    assert tag == [("Renamed", True)]


def test_a_row_changes_when_its_content_does(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """`changed_at` is a cursor for incremental models; `synced_at` moves with every sync."""
    copy_account()
    ((first,),) = fetch(database, "select distinct changed_at from ac_contacts")
    account.send_newsletter(account.ids("contacts"))
    (contact,) = account.change("contacts", 1)

    copy_account()

    later = fetch(
        database,
        "select contact_id, changed_at = synced_at from ac_contacts where changed_at > :first",
        first=first,
    )
    assert later == [(contact, True)]
    assert (
        fetch(
            database,
            "select distinct changed_at from ac_changes where change = 'updated' "
            "union all select max(changed_at) from ac_contacts",
        )
        == [fetch(database, "select max(changed_at) from ac_contacts")[0]] * 2
    )


def test_names_outlive_their_pipeline(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Deleting a pipeline took its name out of 25,215 deals and of their open stays."""
    names = "select deal_id, pipeline, stage, owner from ac_deals order by 1"
    copy_account()
    before = fetch(database, names)
    account.metadata.delete("pipelines", "3")
    account.metadata.delete("users", "2")
    account.metadata.delete("lists", "1")
    stage = account.metadata.listings["stages"][0]["id"]
    account.metadata.delete("stages", stage)

    copy_account()

    assert fetch(database, names) == before
    assert fetch(database, "select count(*) from ac_deal_stages where left_at is not null") == [
        (0,)
    ]
    for sql in (
        "select name, is_listed from ac_pipelines where id = 3",
        f"select name, is_listed from ac_stages where id = {stage}",
        "select name, is_listed from ac_owners where id = 2",
        "select name, is_listed from ac_lists where id = 1",
    ):
        ((name, is_listed),) = fetch(database, sql)
        assert name
        assert not is_listed
    copy_account()
    assert_exact(database, account)


def test_dimensions_show_what_the_account_lists(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Stages without deals are in no deal, and only the listing has their order."""
    copy_account()

    listings = account.metadata.listings
    stages = [
        (int(row["id"]), row["title"], int(row["group"]), int(row["order"]), True)
        for row in listings["stages"]
    ]
    sql = "select id, name, pipeline_id, position, is_listed from ac_stages order by id"
    assert fetch(database, sql) == sorted(stages)
    assert fetch(database, "select count(*) from ac_pipelines where is_listed") == [
        (len(listings["pipelines"]),)
    ]
    tags = "select distinct tag from ac_contacts, unnest(tags) as tag order by 1"
    assert fetch(database, "select name from ac_tags where is_listed order by 1") == fetch(
        database, tags
    )


@pytest.mark.parametrize("path", ["users", "lists"])
def test_an_empty_listing_keeps_the_names(
    path: str, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A key that lost a permission sees an empty list."""
    copy_account()
    shown = fetch(database, "select pipeline, owner from ac_deals order by deal_id")
    lists = fetch(database, "select lists from ac_contacts order by contact_id")
    account.faults.add(faults.empty_dataset().only(on_path(path)))

    result = copy_account()

    assert result.success
    warnings = [text for dataset in result.datasets.values() for text in dataset.warnings]
    assert len(warnings) == 1
    assert f"are kept: /{path}: it is empty." in warnings[0]
    assert fetch(database, "select pipeline, owner from ac_deals order by deal_id") == shown
    assert fetch(database, "select lists from ac_contacts order by contact_id") == lists
