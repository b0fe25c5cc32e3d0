"""A forgotten person leaves the copy, its history and its staging, and no sync brings them back."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest

from acsync.datasets import Record
from acsync.errors import LeaseHeld, LeaseLost, StoreError
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import expected_record
from acsync.simulator.fault_injection import Fault
from acsync.store.database import Database
from acsync.store.stored_rows import STORED_ROWS
from acsync.sync.context import open_sync
from acsync.sync.forget import Person, forget
from acsync.sync.publish import publish
from tests.support import faults
from tests.support.calls import on_path
from tests.support.commands import acsync, start, wait, wait_for
from tests.support.fixtures import CopyAccount
from tests.support.syncs import (
    EXPIRE,
    compare_copy,
    copy_dataset,
    copy_slices,
    fetch,
    last_log,
    run_incremental,
    run_sync,
)

SMALL = AccountOptions(contacts=60, deals=120, rate_limit=None, masked_share=0)

pytestmark = pytest.mark.parametrize("options", [SMALL])

# Every text of the tables that hold records.
TEXTS = """
    select to_jsonb(row)::text from ac_contact_versions as row union all
    select to_jsonb(row)::text from ac_contact_columns as row union all
    select to_jsonb(row)::text from ac_stored_tags as row union all
    select to_jsonb(row)::text from ac_stored_lists as row union all
    select to_jsonb(row)::text from ac_stored_changes as row union all
    select to_jsonb(row)::text from ac_deal_versions as row union all
    select to_jsonb(row)::text from ac_deal_columns as row union all
    select to_jsonb(row)::text from ac_staged_contacts as row union all
    select to_jsonb(row)::text from ac_staged_deals as row
"""
KNOWN = """
    select count(*) from (
        select record_id from ac_contact_versions where record_id = :id union all
        select contact_id from ac_contact_columns where contact_id = :id union all
        select contact_id from ac_contact_tags where contact_id = :id union all
        select contact_id from ac_contact_lists where contact_id = :id union all
        select contact_id from ac_list_changes where contact_id = :id union all
        select record_id from ac_field_changes where data_type = 'contacts' and record_id = :id
        union all
        select contact_id from ac_deal_versions where contact_id = :id union all
        select contact_id from ac_deal_columns where contact_id = :id union all
        select record_id from ac_staged_contacts where record_id = :id union all
        select contact_id from ac_staged_deals where contact_id = :id union all
        select record_id from ac_changes where data_type = 'contacts' and record_id = :id union all
        select record_id from ac_deleted where data_type = 'contacts' and record_id = :id
    ) as rows
"""
# What can name a person in the kept versions of deals and in the changes of their fields.
DEAL_TEXTS = """
    select unnest(array[title, contact_id::text]) from ac_deal_history where deal_id = any(:deals)
    union all
    select unnest(array[was, became]) from ac_field_changes
    where data_type = 'deals' and record_id = any(:deals) and field in ('title', 'contact_id')
"""
REFUSE_UPDATES = (
    """
    create function refuse() returns trigger language plpgsql as $$
    begin raise exception 'no secret % here', old.title; end $$
    """,
    """
    create constraint trigger refuse after update on ac_deal_versions
    deferrable initially deferred for each row execute function refuse()
    """,
)
FORGOTTEN = "jane@example.org"
CONTACT_TABLES = {"ac_contact_versions", "ac_contact_columns"}
COUNTS = """
    select record_count, (select count(*) from ac_contacts), (select count(*) from ac_contacts_wide)
    from ac_freshness where data_type = 'contacts'
"""


@dataclass(frozen=True)
class Someone:
    """A contact with an address, whom some deals name."""

    id: int
    email: str
    deals: tuple[int, ...]


@pytest.fixture
def someone(account: Account) -> Someone:
    """Return a contact with an address and deals."""
    for contact in account.ids("contacts"):
        row, _ = account.record("contacts", contact)
        named = [deal for deal in account.ids("deals") if names(account, deal, contact)]
        if row["email"] and len(named) > 1:
            return Someone(contact, row["email"], tuple(named))
    raise AssertionError


def names(account: Account, deal: int, contact: int) -> bool:
    row, _ = account.record("deals", deal)
    return row.get("contact") == str(contact)


def known(database: Database, someone: Someone) -> int:
    """Return how many rows are about the person, and assert that none has the address if none."""
    ((rows,),) = fetch(database, KNOWN, id=someone.id)
    texts = [text for (text,) in fetch(database, TEXTS) if someone.email in text]
    assert bool(texts) == bool(rows)
    return int(rows)


def texts_of(database: Database, deals: Sequence[int]) -> list[str]:
    """Return the titles and contacts that the copy and its history have of deals."""
    return [text for (text,) in fetch(database, DEAL_TEXTS, deals=[*deals]) if text]


def test_a_person_is_forgotten_everywhere_and_permanently(
    copy_account: CopyAccount, account: Account, database: Database, someone: Someone
) -> None:
    """After a dry run, through the command; deals stay without what names the person."""
    copy_account()
    account.change("contacts", [someone.id])
    account.change("deals", [someone.deals[0]])
    copy_account()
    forget = ("forget", "contact", str(someone.id))

    asked = acsync(*forget)
    planned = json.loads(acsync(*forget, "--json").stdout)
    before = known(database, someone)
    done = acsync(*forget, "--yes")
    after = known(database, someone)
    counts = fetch(database, COUNTS)
    copy_account()
    run_incremental(read_settings())

    assert (asked.returncode, done.returncode) == (2, 0), done.stderr
    assert "Nothing was removed. To remove it, add --yes." in asked.stderr
    assert planned["forgotten"] is False
    assert {table: planned["deleted"][table] for table in CONTACT_TABLES} == {
        "ac_contact_versions": 2,
        "ac_contact_columns": 1,
    }
    assert planned["deleted"].keys() - CONTACT_TABLES <= {*STORED_ROWS}
    assert planned["redacted"]["ac_deal_columns"] == len(someone.deals)
    assert before > 0
    assert (after, known(database, someone)) == (0, 0)
    assert counts == fetch(database, COUNTS) == [(59, 59, 59)]
    assert someone.email not in asked.stdout + done.stdout
    comparisons = compare_copy(database, account)
    assert (comparisons["contacts"].missing, comparisons["contacts"].differing) == (1, ())
    assert set(comparisons["deals"].differing) == set(someone.deals)
    log = last_log(database)
    assert (log["contacts_updated"], log["deals_updated"]) == (0, 0)
    again = json.loads(acsync(*forget, "--yes", "--json").stdout)
    assert (again["deleted"], again["redacted"]) == ({}, {})
    assert again["notVacuumed"] == []
    shown = acsync("show", "contact", str(someone.id), "--live")
    assert "is forgotten" in shown.stdout
    verified = acsync("verify", "--sample=200", "--no-wait")
    assert verified.returncode == 0, verified.stderr
    assert "1 are left out" in verified.stdout
    undone = [acsync(*forget, "--undo").returncode for _ in range(2)]
    copy_account()
    assert undone == [0, 1]
    assert all(comparison.exact for comparison in compare_copy(database, account).values())


def test_a_deal_of_the_person_keeps_its_numbers_and_loses_its_texts(
    copy_account: CopyAccount, account: Account, database: Database, someone: Someone
) -> None:
    """Its value and stage count in reports. A stub of it later shows no title either."""
    deal = someone.deals[0]
    copy_account()
    expected = expected_record(account, "deals", deal)
    forget(database, Person(someone.id))
    account.mask([deal])
    copy_account()
    sql = "select record from ac_deal_versions where record_id = :id and valid_to is null"

    ((record,),) = fetch(database, sql, id=deal)

    gone = {key for key in expected if expected[key] and record[key] != expected[key]}
    texts = [
        entry["value"]
        for entry in record["customFields"].values()
        if entry["fieldType"] in ("text", "textarea", "hidden")
    ]
    assert gone <= {"contact", "title", "description", "customFields", "isDisabled", "status"}
    assert (record["contact"], record["title"], record["description"]) == (None, None, None)
    assert (record["value"], record["stage"]) == (expected["value"], expected["stage"])
    assert texts
    assert set(texts) == {None}


def test_a_frozen_sync_that_read_the_person_publishes_nothing(
    served_account: Account, database: Database, someone: Someone
) -> None:
    """It holds the person in memory and in staging, and still wakes up."""
    settings = read_settings()
    assert served_account
    run_sync(settings)
    with suppress(LeaseLost), open_sync(settings, ("contacts",), holder="a test") as context:
        verified = copy_dataset(context, "contacts")
        with pytest.raises(LeaseHeld):
            forget(database, Person(someone.id))
        fetch(database, EXPIRE)
        forget(database, Person(someone.id))
        publish(context, [verified], {})
        pytest.fail("it published")

    assert known(database, someone) == 0
    assert run_sync(settings).success
    assert known(database, someone) == 0


def test_forgetting_waits_for_a_running_sync(
    served_account: Account, database: Database, someone: Someone
) -> None:
    """The sync publishes the person, and right after it the command removes them."""
    settings = read_settings()
    assert served_account
    with open_sync(settings, ("contacts",), holder="a test") as context:
        verified = copy_dataset(context, "contacts")
        process = start("forget", "contact", str(someone.id), "--yes")
        wait_for("the note", lambda: "Waiting until it ends" in process.stderr.readline())
        publish(context, [verified], {})
        published = known(database, someone)
    done = wait(process)

    assert (published > 0, done.returncode) == (True, 0), done.stderr
    assert known(database, someone) == 0


def test_staging_that_a_later_sync_resumes_is_free_of_the_person(
    copy_account: CopyAccount, served_account: Account, database: Database, someone: Someone
) -> None:
    """Of a sync that crashed before the person was forgotten, and of one after that."""
    settings = read_settings()
    copy_account()
    served_account.change("contacts", [someone.id])

    def crash() -> None:
        with suppress(KeyboardInterrupt), open_sync(settings, ("contacts",), holder="x") as context:
            copy_slices(context, "contacts")
            raise KeyboardInterrupt

    crash()
    staged = known(database, someone)
    forget(database, Person(someone.id))
    after = known(database, someone)
    crash()

    assert (staged > 0, after, known(database, someone)) == (True, 0, 0)
    result = copy_account()
    assert result.success
    assert "taken over from a sync" in str(result.datasets["contacts"].warnings)
    assert known(database, someone) == 0


def give_address(address: str, *contacts: int) -> Fault:
    """Serve these contacts with an address, in capitals."""

    def change(rows: list[Record]) -> None:
        for row in rows:
            if int(row["id"]) in contacts:
                row["email"] = address.upper()

    return faults.rows_fault("same-address", change).only(on_path("contacts"))


def test_a_forgotten_address_keeps_every_contact_out(
    copy_account: CopyAccount, account: Account, database: Database, someone: Someone
) -> None:
    """One that is created with it, and a published one that gets it later."""
    copy_account()
    (new,) = account.add("contacts")
    other = next(contact for contact in account.ids("contacts") if contact != someone.id)
    done = acsync("forget", "contact", "--email", someone.email.title(), "--yes")
    account.faults.add(give_address(someone.email, new, other))
    result = copy_account()

    assert done.returncode == 0, done.stderr
    assert f"the contacts with this address ({someone.id})" in done.stdout
    assert result.success, str(result.datasets["contacts"].error)
    ids = {contact for (contact,) in fetch(database, "select contact_id from ac_contacts")}
    assert set(account.ids("contacts")) - ids == {someone.id, new, other}
    assert not [text for (text,) in fetch(database, TEXTS) if someone.email in text.lower()]
    assert fetch(database, "select mark, count(*) from ac_forgotten group by 1 order by 1") == [
        ("address", 1), ("contact", 3),
    ]  # fmt: skip


@pytest.mark.parametrize("is_killed", [False, True], ids=["failed", "killed"])
def test_staged_deals_of_a_person_forgotten_later_are_not_published(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    someone: Someone,
    is_killed: bool,
) -> None:
    """A sync staged them, learned that the contact has a forgotten address, and did not finish."""
    settings = read_settings()
    copy_account()
    forget(database, Person(address=FORGOTTEN))
    account.faults.add(give_address(FORGOTTEN, someone.id))
    account.change("deals", someone.deals)
    with suppress(KeyboardInterrupt), open_sync(settings, settings.datasets, holder="x") as context:
        copy_slices(context, "deals")
        contacts = copy_dataset(context, "contacts")
        if is_killed:
            raise KeyboardInterrupt
        publish(context, [contacts], {"deals": "a slice failed"})
    account.delete("contacts", [someone.id])
    result = run_sync(settings, ("deals",) if is_killed else settings.datasets)

    assert result.success
    assert known(database, someone) == 0
    assert not texts_of(database, someone.deals)


def send_stubs(*deals: int) -> Fault:
    """Serve these deals as stubs, as to a user who cannot see their pipeline."""

    def change(rows: list[Record]) -> None:
        for row in rows:
            if int(row["id"]) in deals:
                stub = {key: row[key] for key in ("id", "title", "status")}
                row.clear()
                row.update(stub, isDisabled=True)

    return faults.rows_fault("stubs", change).only(on_path("deals"))


@pytest.mark.parametrize("is_known_before", [False, True], ids=["after", "before"])
def test_titles_of_earlier_stubs_are_forgotten(
    copy_account: CopyAccount,
    account: Account,
    database: Database,
    someone: Someone,
    is_known_before: bool,
) -> None:
    """Stubs name no contact: a deal can show its contact before or after it is forgotten."""
    account.faults.add(send_stubs(*someone.deals))
    copy_account()
    stubs = texts_of(database, someone.deals)
    if is_known_before:
        forget(database, Person(someone.id))
    account.faults.clear()
    copy_account()
    if not is_known_before:
        forget(database, Person(someone.id))

    assert stubs
    assert not texts_of(database, someone.deals)


def test_a_restored_contact_with_a_forgotten_address_has_no_history(
    copy_account: CopyAccount, account: Account, database: Database, someone: Someone
) -> None:
    """Its deletion left older versions, which no current one follows."""
    copy_account()
    forget(database, Person(address=FORGOTTEN))
    account.delete("contacts", [someone.id])
    account.delete("deals", someone.deals)
    copy_account()
    deleted = known(database, someone)
    account.restore_contacts([someone.id])
    account.faults.add(give_address(FORGOTTEN, someone.id))
    copy_account()

    assert (deleted > 0, known(database, someone)) == (True, 0)


def test_no_message_quotes_what_is_erased(
    copy_account: CopyAccount, account: Account, database: Database, someone: Someone
) -> None:
    """A trigger of somebody else can raise an error with the old row, also at the commit."""
    copy_account()
    forget(database, Person(address=FORGOTTEN))
    for statement in REFUSE_UPDATES:
        fetch(database, statement)
    done = acsync("forget", "contact", str(someone.id), "--yes")
    applied = acsync("migrate", "--apply-privacy", ACSYNC_EXCLUDE="deals.title")
    account.faults.add(give_address(FORGOTTEN, someone.id))
    with pytest.raises(StoreError) as published:
        copy_account()

    assert (done.returncode, applied.returncode) == (1, 1), applied.stdout
    for message in (done.stderr, applied.stderr, str(published.value)):
        assert "raise exception in function public.refuse (SQLSTATE P0001)" in message
        assert "secret" not in message
    assert known(database, someone) > 0


def test_hashes_go_once_the_account_has_deleted_the_person(
    copy_account: CopyAccount, account: Account, database: Database, someone: Someone
) -> None:
    """A month later, because ActiveCampaign can restore a contact for 30 days."""
    age = "update ac_forgotten set last_listed_at = now() - interval '31 days 1 hour'"
    count = "select count(*) from ac_forgotten"
    copy_account()
    forget(database, Person(someone.id))
    fetch(database, age)
    copy_account()
    listed = fetch(database, count)
    account.delete("contacts", [someone.id])
    account.delete("deals", someone.deals)
    copy_account()
    deleted = fetch(database, count)
    fetch(database, age)
    copy_account()

    assert (listed, deleted, fetch(database, count)) == ([(1,)], [(1,)], [(0,)])
