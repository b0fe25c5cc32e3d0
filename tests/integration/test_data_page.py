"""`/data` is the data dictionary of one account: views, columns, fields, choices and their use."""

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from acsync.datasets import DATASETS
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import expected_record
from acsync.store.database import Database
from acsync.store.dictionary import read_dictionary
from acsync.web.data_page import KEYS, TOPICS, make_topics
from tests.support.commands import acsync, served
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch

HOSTILE = "<script>alert(1)</script> & more"


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with a field of each type."""
    return AccountOptions(
        contacts=300, deals=300, rate_limit=None, contact_fields=14, deal_fields=14
    )


@pytest.fixture
def service(
    served_account: Account,  # noqa: ARG001  # the environment
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[httpx.Client]:
    """Serve the account's pages without a Prefect API."""
    monkeypatch.setenv("PREFECT_API_URL", "")
    with served() as (client, _):
        yield client


def test_the_page_describes_everything_people_query(
    service: httpx.Client, copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Every view has a topic and a key, and every column a comment."""
    fields = account.metadata.listings["contact_fields"]
    fields[0]["title"] = HOSTILE
    copy_account()
    for name in DATASETS:
        account.change(name, 100)
        account.delete(name, 5)
    copy_account()

    dictionary = read_dictionary(database)
    page = unescape(service.get("/data").text)

    assert [topic.title for topic in make_topics(dictionary)] == [*TOPICS]
    assert {*dictionary.views} == {*KEYS}
    for view in dictionary.views.values():
        assert f"{view.name}</code>: {view.meaning}" in page
        for column in view.columns:
            assert column.comment, (view.name, column.name)
            assert column.comment in page
    assert HOSTILE in page
    assert HOSTILE not in service.get("/data").text


def test_the_keys_are_keys(
    copy_account: CopyAccount,
    served_account: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The views cannot declare them."""
    monkeypatch.setenv("ACSYNC_DATASETS", "contacts,deals,deal_events")
    for _ in range(3):
        assert copy_account().success
        for name in DATASETS:
            served_account.change(name, 30)
            served_account.delete(name, 5)
            served_account.add(name, 5)
    assert acsync("verify", "--sample=2", "--no-wait").returncode == 0

    for view, key in KEYS.items():
        if key:
            ((rows, keys),) = fetch(
                database, f"select count(*), count(distinct ({', '.join(key)})) from {view}"
            )
            assert rows == keys > 0, view


def test_fields_show_their_choices_and_who_fills_them(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Empty values fill nothing."""
    copy_account()

    dictionary = read_dictionary(database)

    for name in DATASETS:
        filled = Counter(
            str(field["fieldId"])
            for record_id in account.ids(name)
            for field in expected_record(account, name, record_id)["customFields"].values()
            if field["value"] not in (None, "", "||", [])
        )
        fields = dictionary.fields[name]
        assert {field.field_id: field.records for field in fields} == {
            field.field_id: filled[field.field_id] for field in fields
        }
        assert dictionary.records[name] == len(account.ids(name))
        assert all(re.fullmatch(r"\w+", field.column or "") for field in fields)
    (plan,) = {tuple(field.choices) for field in dictionary.fields["contacts"] if field.options}
    assert plan == ("s (Small)", "m (Medium, mostly)", "l (Large)", "n/a (Not – applicable)")
    (plan,) = {tuple(field.choices) for field in dictionary.fields["deals"] if field.options}
    assert plan == ("Small", "Medium, mostly", "Large", "Not – applicable")


def test_a_former_type_and_a_deleted_field_are_marked(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """The records of a field are counted once."""
    copy_account()
    fields = account.metadata.listings["contact_fields"]
    deleted, retyped = fields.pop(), fields[0]
    retyped["type"] = "textarea"
    copy_account()

    rows = read_dictionary(database).fields["contacts"]

    (gone,) = (row for row in rows if row.field_id == deleted["id"])
    assert (gone.is_listed, bool(gone.records)) == (False, True)
    types = {row.type: row.records for row in rows if row.field_id == retyped["id"]}
    assert types.pop("textarea")
    assert [*types.values()] == [None]
