"""`acsync verify` finds what is wrong in the copy, and takes no true record for wrong."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acsync.datasets import DATASETS, DatasetName, Record, parse_record
from acsync.enrich.encoding import encode
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import VERSIONS, Database
from acsync.store.verification import Counts
from acsync.sync.account_reader import AccountReader, open_reader
from acsync.sync.spot_check import SpotCheck, check_sample, decide
from tests.support import faults
from tests.support.calls import Churn, on_path
from tests.support.commands import acsync, served
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch

ALL = 10_000
BOTH = pytest.mark.parametrize("name", list(DATASETS))


@pytest.fixture
def reader(
    copy_account: CopyAccount, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AccountReader]:
    """Copy the account, and open it for single reads at a high rate."""
    monkeypatch.setenv("AC_RATE_LIMIT", "1000")
    assert copy_account().success
    with open_reader(read_settings(), database) as opened:
        yield opened


def look(reader: AccountReader, name: DatasetName, sample: int = ALL) -> SpotCheck:
    """Compare a sample of a dataset once."""
    check = check_sample(reader, name, sample)
    assert check
    return check


def settle(reader: AccountReader, *checks: SpotCheck) -> None:
    """Look at undecided records once more, after the full sync that has just been published."""
    decide(reader, checks, lambda _: None, patience=timedelta())


# Copies that are wrong

Change = Callable[[Record], object]


def edit(database: Database, name: DatasetName, record_id: int, change: Change, fits: bool) -> None:
    """Change a published record in the database, with a hash that fits it or the old one."""
    table = VERSIONS[name]
    where = "where valid_to is null and record_id = :id"
    ((text,),) = fetch(database, f"select record::text from {table} {where}", id=record_id)
    record = parse_record(text)
    change(record)
    edited = encode(record)
    sql = f"update {table} set record = cast(:body as jsonb), hash = coalesce(:hash, hash) {where}"
    fetch(
        database, sql, id=record_id, body=edited.body.decode(), hash=edited.hash if fits else None
    )


def field_of(record: Record) -> Record:
    return next(iter(record["customFields"].values()))


EDITS: dict[DatasetName, dict[str, tuple[Change, str]]] = {
    "contacts": {
        "a value": (lambda record: record.update(email="x@y.example"), "email"),
        "a custom value": (lambda record: field_of(record).update(value="z"), "customFields."),
        "a custom title": (lambda record: field_of(record).update(fieldTitle="z"), "customFields."),
        "a tag": (lambda record: record["tags"].append("z"), "tags"),
        "a list's status": (lambda record: record["lists"][0].update(status="z"), "lists."),
        "a missing key": (lambda record: record.pop("phone"), "phone"),
    },
    "deals": {
        "a value": (lambda record: record.update(value="7"), "value"),
        "a custom value": (lambda record: field_of(record).update(value="z"), "customFields."),
        "a stage's name": (lambda record: record["stageData"].update(title="z"), "stageData"),
        "a missing field": (lambda record: record["customFields"].popitem(), "customFields."),
    },
}


@BOTH
def test_every_edited_record_is_found(
    name: DatasetName, reader: AccountReader, database: Database
) -> None:
    """With a hash that fits the edited body or not, and nothing but those records."""
    whole = [
        record_id
        for record_id, text in fetch(
            database, f"select record_id, record::text from {VERSIONS[name]} where valid_to is null"
        )
        if parse_record(text).get("customFields")
        and parse_record(text).get("lists", True)
        and parse_record(text).get("stageData", True)
    ]
    edited: dict[int, str] = {}
    for fits in (False, True):
        for change, field in EDITS[name].values():
            record_id = whole.pop(0)
            edit(database, name, record_id, change, fits)
            edited[record_id] = field

    different = look(reader, name).fields_of("different")

    assert different.keys() == edited.keys()
    for record_id, fields in different.items():
        assert [field for field in fields if field.startswith(edited[record_id])], fields


def test_the_command_names_records_and_how_to_repair_them(
    reader: AccountReader, database: Database, account: Account, copy_account: CopyAccount
) -> None:
    """A sync alone does not see an edited body whose hash stayed."""
    first, second, *_ = account.ids("contacts")
    edit(database, "contacts", first, lambda record: record.update(phone="c4nary"), fits=False)
    edit(database, "contacts", second, lambda record: record.update(firstName="c4nary"), fits=True)
    copy_account()

    done = acsync("verify", "--only=contacts", "--sample=1000", "--no-wait", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["datasets"]["contacts"]["differentFields"] == {
        str(first): ["phone"]
    }
    assert (
        f"1 record differs from the account and did not change since: contacts {first} (phone)"
        in done.stderr
    )
    assert "c4nary" not in done.stdout + done.stderr
    (repair,) = re.findall(r"update .*;", done.stderr)
    fetch(database, repair)
    copy_account()
    assert look(reader, "contacts").counts.equal == 700


# Copies that are true


def dated_now(*ids: int) -> Any:
    """Date these contacts now, as an account dates what changes."""

    def change(_call: Any, body: Record) -> None:
        if int((body.get("contact") or {"id": 0})["id"]) in ids:
            body["contact"]["udate"] = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()

    return faults.body_fault("dates-now", change)


def test_a_change_since_is_proven_by_its_date_or_the_next_sync(
    reader: AccountReader, account: Account, copy_account: CopyAccount
) -> None:
    """Tags, lists and custom values may move no date."""
    dated, changed, gone, *_ = account.ids("contacts")
    account.change("contacts", [dated, changed])
    account.delete("contacts", [gone])
    account.faults.add(dated_now(dated))
    created = account.add("contacts", 3)

    check = look(reader, "contacts")
    first = dict(check.findings)
    account.faults.clear()
    copy_account()
    settle(reader, check)

    assert first[dated].verdict == "changed"
    assert first[gone].verdict == "undecided"
    assert check.created == len(created)
    assert (check.counted, check.published) == (702, 700)
    assert [check.findings[each].verdict for each in (dated, changed)] == ["changed"] * 2
    counts = check.counts
    assert (counts.deleted, counts.undecided, counts.different) == (1, 0, 0)
    assert counts.equal == 697


def test_what_the_next_sync_does_not_correct_is_different(
    reader: AccountReader, database: Database, account: Account, copy_account: CopyAccount
) -> None:
    """The pages contradict the single calls, and a hash does not fit."""
    gone, hidden, *_ = account.ids("deals")
    single = faults.status(404).only(lambda call: call.path == f"deals/{gone}")
    account.faults.add(single)
    fetch(database, "update ac_deal_versions set hash = '' where record_id = :id", id=hidden)

    check = look(reader, "deals")
    first = dict(check.findings)
    copy_account()
    settle(reader, check)

    assert first[gone].verdict == "undecided"
    assert check.fields_of("different") == {gone: ("the whole record",), hidden: ("its hash",)}


def test_new_names_are_no_difference(reader: AccountReader, account: Account) -> None:
    """The metadata says that the account has changed them."""
    listings = account.metadata.listings
    for name, key in (("stages", "title"), ("pipelines", "title"), ("lists", "name")):
        for row in listings[name]:  # type: ignore[index]
            row[key] = f"new {row[key]}"
    for row in listings["contact_fields"]:
        row["title"] = f"new {row['title']}"
    account.faults.add(faults.rename_tag("3", "new tag"))
    account.send_newsletter(account.ids("contacts"))

    contacts, deals = (look(reader, name) for name in DATASETS)

    assert contacts.counts == Counts(700, 700, 0, 0, 0, 0, 0)
    masked = len(account.masked_ids())
    assert deals.counts == Counts(600, 600 - masked, 0, 0, masked, 0, 0)


@contextmanager
def syncing(copy_account: CopyAccount) -> Iterator[list[bool]]:
    """Run one sync after the other in the background, and collect whether each succeeded."""
    stopping, results = threading.Event(), list[bool]()

    def run() -> None:
        while not stopping.is_set():
            results.append(copy_account().success)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield results
    finally:
        stopping.set()
        thread.join()


@pytest.mark.parametrize(
    "options", [AccountOptions(contacts=700, deals=600, rate_limit=None, orphan_share=0.1)]
)
def test_changes_during_syncs_are_never_taken_for_different(
    reader: AccountReader, account: Account, copy_account: CopyAccount
) -> None:
    """20 changes a second touch most records of this small account within a minute."""
    counts: list[Counts] = []
    with Churn(account, 20):
        for _ in range(2):
            with syncing(copy_account) as syncs:
                checks = [look(reader, name, 500) for name in DATASETS]
            assert all([*syncs, copy_account().success])
            settle(reader, *checks)
            counts += [check.counts for check in checks]
            assert [check.fields_of("different") for check in checks] == [{}, {}]

    assert sum(each.sampled for each in counts) >= 2_000
    assert sum(each.changed for each in counts) > 0


@pytest.mark.parametrize("options", [AccountOptions(contacts=150, deals=120, rate_limit=None)])
@pytest.mark.usefixtures("reader")
def test_the_result_is_shown_without_values(database: Database, account: Account) -> None:
    """In a table, as JSON, on the dashboard and as metrics."""
    values = {record["email"] for _, record in published(database, "contacts") if record["email"]}
    values |= {
        record["title"] for _, record in published(database, "deals") if len(record["title"]) > 9
    }
    account.delete("contacts", account.ids("contacts")[:2])
    account.faults.add(faults.status(403).only(on_path("settings/account")))

    table = acsync("verify", "--no-wait")
    done = acsync("verify", "--no-wait", "--json", "--sample=1000")
    with served() as (client, _):
        page, metrics = client.get("/").text, client.get("/metrics").text

    assert (table.returncode, done.returncode) == (0, 0), table.stderr + done.stderr
    answer = json.loads(done.stdout)
    assert answer["datasets"]["contacts"]["sampled"] == 150
    assert answer["datasets"]["contacts"]["undecided"] == 2
    assert answer["subscriberTotal"] is None
    assert "no right to read subscriber_total" in table.stdout
    assert "The account counts 148 contacts, the copy has 150" in table.stdout
    assert "150 contacts" in page
    assert re.search(r'acsync_verify_records\{.*dataset="contacts".*\} 150', metrics)
    output = table.stdout + table.stderr + done.stdout + done.stderr
    assert [word for word in values if word in output] == []


def published(database: Database, name: DatasetName) -> list[tuple[int, Record]]:
    sql = f"select record_id, record::text from {VERSIONS[name]} where valid_to is null"
    return [(record_id, parse_record(text)) for record_id, text in fetch(database, sql)]
