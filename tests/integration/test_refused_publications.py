"""If Postgres refuses one dataset, the other is published and the next sync reads again."""

import pytest

from acsync.errors import AnotherAccount
from acsync.results import SyncResult
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import expected_record
from acsync.store.database import Database
from acsync.sync.context import open_sync
from acsync.sync.publish import publish
from acsync.sync.verify import Verified
from tests.support.fixtures import CopyAccount
from tests.support.syncs import assert_exact, copy_dataset, fetch, last_log

pytestmark = pytest.mark.parametrize(
    "options", [AccountOptions(contacts=120, deals=80, masked_share=0, rate_limit=None)]
)

REFUSE = """
    create function refuse() returns trigger language plpgsql as $$
    begin
        if new.{column} = {id} then raise exception 'no % here', new.email; end if;
        return new;
    end $$;
"""


def refusals(result: SyncResult) -> dict[str, str | None]:
    """Return the error of each dataset."""
    return {name: dataset.error for name, dataset in result.datasets.items()}


@pytest.mark.parametrize(
    ("refuse", "allow", "reason"),
    [
        (
            "alter table ac_contact_versions add constraint users check (record_id <> {id})",
            "alter table ac_contact_versions drop constraint users",
            'new row for relation "ac_contact_versions" violates check constraint "users"',
        ),
        (
            REFUSE.replace("{column}", "record_id")
            + "create trigger refuse before insert on ac_contact_versions "
            "for each row execute function refuse()",
            "drop trigger refuse on ac_contact_versions",
            "raise exception in function public.refuse",
        ),
        (
            REFUSE.replace("{column}", "record_id")
            + "create constraint trigger refuse after insert on ac_contact_versions "
            "deferrable initially deferred for each row execute function refuse()",
            "drop trigger refuse on ac_contact_versions",
            "raise exception in function public.refuse",
        ),
        (
            "create unique index users on ac_contact_versions "
            "((case when record_id in ({first}, {id}) then 0 else record_id end))",
            "drop index users",
            'duplicate key value violates unique constraint "users"',
        ),
        (
            "create index users on ac_contact_versions ((10 / (record_id - {id})))",
            "drop index users",
            "division by zero",
        ),
        (
            "alter table ac_contact_columns add constraint users check (contact_id <> {id})",
            "alter table ac_contact_columns drop constraint users",
            'new row for relation "ac_contact_columns" violates check constraint "users"',
        ),
    ],
    ids=["check", "trigger", "deferred", "two records", "expression", "wide view"],
)
def test_a_refused_dataset_leaves_the_other_published(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    *,
    refuse: str,
    allow: str,
    reason: str,
) -> None:
    """The error names dataset, reason and record, but no content of the record."""
    ids = account.ids("contacts")
    refused, email = ids[70], expected_record(account, "contacts", ids[70])["email"]
    fetch(database, refuse.replace("{id}", str(refused)).replace("{first}", str(ids[3])))

    result = copy_account()

    error = str(refusals(result)["contacts"])
    assert error.startswith(f"Postgres refused to store the contacts: {reason} (SQLSTATE ")
    assert f", at contact {refused}." in error
    assert email not in error
    assert refusals(result)["deals"] is None
    assert fetch(database, "select count(*) from ac_contacts") == [(0,)]
    assert fetch(database, "select count(*) from ac_deals") == [(80,)]
    assert (last_log(database)["contacts_error"], last_log(database)["deals_success"]) == (
        error,
        True,
    )

    fetch(database, allow)
    assert copy_account().success
    assert_exact(database, account)


def test_a_stay_that_is_refused_names_its_deal(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Stays are written together with their deals."""
    assert copy_account().success
    refused = account.ids("deals")[40]
    fetch(database, f"alter table ac_deal_stages add check (deal_id <> {refused}) not valid")
    account.change("deals", account.ids("deals"))

    result = copy_account()

    assert refusals(result)["contacts"] is None
    assert f"at deal {refused}." in str(refusals(result)["deals"])


def test_an_error_about_no_record_names_the_table(
    copy_account: CopyAccount, database: Database
) -> None:
    """For example a trigger that a removed program left."""
    fetch(
        database,
        "create function gone() returns trigger language plpgsql as "
        "$$ begin insert into audit values (1); return null; end $$; "
        "create trigger gone after insert on ac_deal_versions execute function gone()",
    )

    result = copy_account()

    assert refusals(result)["contacts"] is None
    assert "undefined table in function public.gone (SQLSTATE 42P01). The last published" in str(
        refusals(result)["deals"]
    )


def test_a_refused_dataset_is_read_again(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Otherwise each sync would resume the staged rows that cannot be published."""
    refused = account.ids("contacts")[70]
    check = f"alter table ac_contact_versions add constraint users check (record_id <> {refused})"
    fetch(database, check)
    assert not copy_account("contacts").success
    account.change("contacts", account.ids("contacts"))
    calls = account.statistics.calls
    fetch(database, "alter table ac_contact_versions drop constraint users")

    result = copy_account("contacts")

    assert result.datasets["contacts"].warnings == ()
    assert account.statistics.calls - calls >= 120 / 20
    copy_account("deals")
    assert_exact(database, account)


def test_a_publication_that_is_tried_again_says_what_was_published(
    copy_account: CopyAccount,  # noqa: ARG001  # its account and database
    database: Database,
) -> None:
    """The answer to a commit can be lost."""
    with open_sync(read_settings(), ("contacts",), holder="a test") as context:
        verified = [copy_dataset(context, "contacts")]
        first = publish(context, verified, {})
        second = publish(context, verified, {})

    assert first.success
    assert second.datasets["contacts"].changes == first.datasets["contacts"].changes
    assert fetch(database, "select count(*) from ac_published") == [(1,)]


def test_an_account_that_published_in_between_is_not_overwritten(
    copy_account: CopyAccount,  # noqa: ARG001  # its account and database
    database: Database,
) -> None:
    """Two accounts may start with the same fresh schema at the same moment."""
    with open_sync(read_settings(), ("contacts",), holder="a test") as context:
        verified = [copy_dataset(context, "contacts")]
        fetch(database, "insert into ac_account (host) values ('acme.api-us1.com')")
        with pytest.raises(AnotherAccount, match=r"holds the records of acme\.api-us1\.com"):
            publish(context, verified, {})

    assert fetch(database, "select count(*) from ac_contacts") == [(0,)]


def test_a_judged_dataset_is_not_published_later(
    copy_account: CopyAccount,  # noqa: ARG001  # its account and database
    database: Database,
) -> None:
    """If a sync ends after its verdict, the next one starts with empty staging."""
    with open_sync(read_settings(), ("contacts",), holder="a test") as context:
        verified = copy_dataset(context, "contacts")

    assert isinstance(verified, Verified)
    assert fetch(database, "select count(*) from ac_staged_plans") == [(0,)]
