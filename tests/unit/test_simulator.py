"""The suite trusts the simulated account, so the account must behave like a real one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import orjson
import pytest
from typer.main import get_command

from acsync.cli.app import app
from acsync.datasets import DATASETS, DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.activities import Order
from acsync.simulator.answers import answer_call
from acsync.simulator.expected import Comparison, compare, expected_record
from acsync.simulator.fault_injection import FAULTS, Fault
from acsync.simulator.requests import Call, RateGate, RateWindow
from acsync.simulator.server import serve
from tests.support import faults
from tests.support.calls import Churn, most_calls_in_a_second, on_call, on_numbers, on_path
from tests.support.expected import DEAL_STATUSES, expected_stays

SMALL = AccountOptions(contacts=250, deals=250, rate_limit=None)
BY_ID: dict[str, str | int] = {"orders[id]": "ASC", "limit": 100}

RECORDED = json.loads(Path(__file__).with_name("recorded_shapes.json").read_bytes())
"""Keys and types in answers that were recorded at real accounts, "" for a key that was null."""

SOMETIMES = {"nextTask", "fieldCurrency"}
"""Keys that other clients saw in some rows, but that are in no recorded answer."""

KINDS = {str: "text", int: "number", bool: "boolean", list: "array", dict: "object"}


@contextmanager
def calling(account: Account) -> Iterator[httpx.Client]:
    """Serve the account and yield a client with its key."""
    headers = {"Api-Token": account.options.api_key}
    with (
        serve(account) as url,
        httpx.Client(base_url=f"{url}/api/3/", headers=headers, timeout=10) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def account() -> Account:
    """Return an account that no test changes."""
    return Account(SMALL)


@pytest.fixture(scope="module")
def client(account: Account) -> Iterator[httpx.Client]:
    """Return a client of that account; one for all tests, because stopping a server takes 0.2 s."""
    with calling(account) as shared_client:
        yield shared_client


def ids(body: Record, path: str) -> list[int]:
    return [int(row["id"]) for row in body[path]]


def walk(client: httpx.Client, path: str, **params: str | int) -> list[int]:
    """Read all pages by offset and return their ids."""
    read: list[int] = []
    while page := ids(client.get(path, params={**params, "offset": len(read)}).json(), path):
        read += page
    return read


def read_json(account: Account, path: str, **params: str) -> Record:
    """Return the JSON of one answer, without a server."""
    body: Record = orjson.loads(answer_call(account, Call(path, params, number=1)).content())
    return body


def assert_shape(rows: list[Record], recorded: dict[str, str]) -> None:
    """Assert that rows have the recorded keys, and values of the recorded types or null."""
    served: dict[str, set[str]] = {}
    for row in rows:
        for key, value in row.items():
            served.setdefault(key, set()).update([] if value is None else [KINDS[type(value)]])

    assert served.keys() - SOMETIMES == recorded.keys()
    assert [
        (key, kinds)
        for key, kinds in served.items()
        if recorded.get(key) and not kinds <= {*recorded[key].split()}
    ] == []


# Answers


@pytest.mark.parametrize("path", RECORDED["pages"])
def test_pages_have_the_shape_of_recorded_pages(path: str) -> None:
    """A reader that works here would fail at a real account if keys or types differed."""
    body = read_json(Account(), path, limit="100")

    meta = {f"meta.{key}": value for key, value in body.get("meta", {}).items()}
    assert_shape([body | meta], RECORDED["pages"][path])
    assert_shape([row for row in body[path] if not row.get("isDisabled")], RECORDED["rows"][path])


def test_rows_in_other_arrays_have_the_shape_of_recorded_rows() -> None:
    """Custom fields, tags and stubs are read from these rows."""
    account = Account(AccountOptions(camel_case_values=True, masked_share=0.1))
    contacts = read_json(
        account, "contacts", limit="100", include="fieldValues,contactTags.tag,contactLists"
    )
    deals = read_json(account, "deals", limit="100", include="dealCustomFieldData")
    fields = read_json(account, "fields")
    values = deals["dealCustomFieldData"]

    # Other clients saw a choice as an array and cents as a number; the recorded one is a text.
    of_any_type = RECORDED["rows"]["dealCustomFieldData"] | {"fieldValue": ""}
    assert_shape(values, of_any_type)
    for name in ("fieldValues", "contactTags", "tags"):
        assert_shape(contacts[name], RECORDED["rows"][name])
    for name in ("fieldOptions", "fieldRels"):
        assert_shape(fields[name], RECORDED["rows"][name])
    assert_shape([row for row in deals["deals"] if row["isDisabled"]], RECORDED["rows"]["stub"])
    assert_shape([read_json(account, "users/me")["user"]], RECORDED["rows"]["user"])


def test_headers_and_errors_are_those_of_recorded_answers(client: httpx.Client) -> None:
    """The client decides by status and headers, and some of them are surprising."""
    good = client.get("contacts")
    wrong_key = client.get("contacts", headers={"Api-Token": "another"})
    missing = client.get("contacts/999999")

    assert good.headers["transfer-encoding"] == "chunked"
    assert good.headers["content-type"] == "application/json"
    assert not {"content-length", "ratelimit-limit"} & set(good.headers)
    assert (wrong_key.status_code, wrong_key.content) == (403, b"")
    assert "content-type" not in wrong_key.headers
    assert missing.status_code == 404
    assert missing.json() == {"message": "No Result found for Subscriber with id 999999"}


# Paging and order


@pytest.mark.parametrize(("limit", "rows"), [(None, 20), (7, 7), (100, 100), (500, 100)])
def test_a_limit_is_20_by_default_and_at_most_100(
    client: httpx.Client, limit: int | None, rows: int
) -> None:
    """A silently clamped limit looks like the last page to a careless reader."""
    params = {} if limit is None else {"limit": limit}

    assert len(client.get("contacts", params=params).json()["contacts"]) == rows


def test_contacts_honour_a_cursor_and_count_the_rest(
    account: Account, client: httpx.Client
) -> None:
    """Each slice is read and checked by its cursor and its total."""
    everyone = account.ids("contacts")
    cursor: dict[str, str | int] = {"id_greater": everyone[49], "id_less": everyone[200]}
    body = client.get("contacts", params={**BY_ID, **cursor}).json()
    end = client.get("contacts", params={**BY_ID, "id_greater": everyone[-1]}).json()
    newest = client.get("contacts", params={"orders[id]": "DESC"}).json()

    assert ids(body, "contacts") == everyone[50:150]
    assert body["meta"]["total"] == "150"
    assert (end["contacts"], end["meta"]["total"]) == ([], "0")
    assert ids(newest, "contacts") == everyone[:-21:-1]


def test_deals_are_whole_only_in_the_order_of_ids(account: Account, client: httpx.Client) -> None:
    """Real accounts lose deals between pages without an order, and deals ignore a cursor."""
    unordered = walk(client, "deals", limit=100)
    ordered = walk(client, "deals", **BY_ID)
    after_cursor = client.get("deals", params={**BY_ID, "id_greater": 300}).json()

    assert len(unordered) == 250
    assert len(set(unordered)) < 250
    assert ordered == account.ids("deals")
    assert ids(after_cursor, "deals") == ordered[:100]


# Records


def test_the_default_account_has_every_oddity() -> None:
    """A test that copies this account covers an oddity only if it is in there."""
    account = Account()
    contacts = [expected_record(account, "contacts", number) for number in account.ids("contacts")]
    deals = [expected_record(account, "deals", number) for number in account.ids("deals")]
    contact_fields = [entry for row in contacts for entry in row["customFields"].items()]
    deal_fields = [entry for row in deals for entry in row["customFields"].items()]
    whole = [deal for deal in deals if not deal["isDisabled"]]
    gaps = {after - before for before, after in pairwise(account.ids("contacts"))}
    page = read_json(account, "contacts", limit="100", offset="200", include="fieldValues")

    assert {1, 2, 23} <= gaps
    assert any("\0" in (value["value"] or "") for value in page["fieldValues"])
    assert any(contact["email"] == "" for contact in contacts)
    assert any(contact["phone"] == "007" for contact in contacts)
    assert {contact["cdate"][-6:] for contact in contacts} == {"-05:00", "-06:00"}
    assert {contact["deleted_at"] for contact in contacts} == {None, "0000-00-00 00:00:00"}
    assert len({entry["fieldType"] for _, entry in contact_fields} - {None}) == 8
    assert len({entry["fieldType"] for _, entry in deal_fields} - {None}) == 8
    assert {"", None} <= {entry["value"] for _, entry in contact_fields}
    assert {"COMPANY_SIZE", "COMPANY_SIZE_17", "field_5", "field_9999"} <= {*dict(contact_fields)}
    assert {"Company size", "Company size_22", "field_4", "field_9999"} <= {*dict(deal_fields)}
    assert 0 < len(deals) - len(whole) < 20
    assert any(deal["stageData"] and not deal["pipelineData"] for deal in whole)
    assert any(not deal["stageData"] for deal in whole)
    assert any(not deal["ownerData"] for deal in whole)
    assert {type(deal["winProbability"]) for deal in whole} == {int, type(None)}
    assert any("nextTask" in deal for deal in whole)
    assert {str(deal["edate"])[:4] for deal in whole} >= {"None", "0000", "2022"}


def test_the_expected_contact_agrees_with_the_served_one(
    account: Account, client: httpx.Client
) -> None:
    """Every copy is compared with the expected records, so they must come from the API alone."""
    record_id = account.ids("contacts")[3]
    contact_id = str(record_id)
    include = "fieldValues,contactTags.tag,contactLists"
    body = client.get("contacts", params={**BY_ID, "include": include}).json()
    titles = {field["id"]: field["title"] for field in client.get("fields").json()["fields"]}
    row = next(row for row in body["contacts"] if row["id"] == contact_id)
    values = {v["field"]: v["value"] for v in body["fieldValues"] if v["contact"] == contact_id}
    tag_ids = {tag["tag"] for tag in body["contactTags"] if tag["contact"] == contact_id}
    list_ids = [row["list"] for row in body["contactLists"] if row["contact"] == contact_id]

    expected = expected_record(account, "contacts", record_id)
    entries = expected.pop("customFields").values()
    tags, lists = expected.pop("tags"), expected.pop("lists")
    for key in ("contactTags", "contactLists"):
        assert sorted(row.pop(key)) == sorted(expected.pop(key))
    assert expected == row
    assert {*tags} == {tag["tag"] for tag in body["tags"] if tag["id"] in tag_ids}
    assert [membership["id"] for membership in lists] == list_ids[::-1]
    assert {entry["fieldId"]: entry["value"] for entry in entries} == values
    assert {entry["fieldId"]: entry["fieldTitle"] for entry in entries} == {
        field: titles[field] for field in values
    }


def test_a_comparison_finds_every_difference(account: Account) -> None:
    """A comparison that overlooks something would make every test of a copy pass."""
    copy = {number: expected_record(account, "deals", number) for number in account.ids("deals")}
    assert compare(account, "deals", copy.items()).exact

    first, second, *_ = copy
    del copy[first]
    copy[second] = copy[second] | {"title": "another"}
    copy[10**9] = {}

    assert compare(account, "deals", copy.items()) == Comparison(250, 1, 1, (second,))


# Rate limit


def test_the_eleventh_call_in_a_second_is_refused() -> None:
    """A sync that is too fast must notice."""
    account = Account(AccountOptions(20, 20, rate_limit=10))
    with calling(account) as client:
        answers = [client.get("users") for _ in range(13)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429] * 3
    assert answers[-1].headers["retry-after"] == "1"
    assert answers[-1].headers["ratelimit-limit"] == "10"
    statistics = account.statistics
    assert (statistics.calls, statistics.refused, statistics.by_path) == (10, 3, {"users": 10})
    assert [call.status for call in statistics.log][-4:] == [200, 429, 429, 429]
    assert most_calls_in_a_second(statistics) == 13


@pytest.mark.parametrize(
    ("window", "admitted"),
    [
        ("sliding", [True, True, False, True, False, True, True]),
        ("fixed", [True, True, False, True, True, False, True]),
    ],
)
def test_a_window_slides_or_starts_with_each_second(
    window: RateWindow, admitted: list[bool]
) -> None:
    """It is not known how ActiveCampaign counts, so the rate limiter is tested with both."""
    gate = RateGate(2, window)

    assert [gate.admit(at) for at in (0.0, 0.9, 0.95, 1.0, 1.1, 1.95, 2.0)] == admitted


# Faults


FAULTS_OF_TESTS = (
    *(faults.ignore_parameter(name) for name in ("id_greater", "orders", "include")),
    faults.page_cap(50),
    faults.repeat_page(),
    faults.add_to_total(7),
    faults.add_to_total(-7),
    faults.drop_rows(3),
    faults.unsorted_rows(),
    faults.record_without_id(),
    faults.drop_sideload(),
    faults.fields_vanish(),
    faults.mask_all(),
    faults.empty_dataset(),
    faults.without_meta(),
    faults.html(),
    faults.forbidden(),
    faults.cut_off(),
    faults.empty_body(),
    faults.too_many(3600),
    faults.redirect(),
    faults.reset(),
    faults.stall(),
)


@pytest.mark.parametrize(
    "fault",
    [*(fault for faults in FAULTS.values() for fault in faults), *FAULTS_OF_TESTS],
    ids=lambda fault: fault.name,
)
def test_every_fault_changes_an_answer(account: Account, fault: Fault) -> None:
    """A fault that does nothing makes its test pass by accident."""
    params = {"limit": "100", "offset": "180", "orders[id]": "ASC", "id_greater": "100"}
    changed = []
    for dataset in DATASETS.values():
        call = Call(dataset.path, {**params, "include": dataset.sideload}, number=1)
        good = answer_call(account, call)
        answer = answer_call(account, fault.ask(call) if fault.ask else call)
        bad = fault.reply(call, answer) if fault.reply else answer
        changed.append(
            fault.when(call)
            and (bad.content(), bad.status, bad.delay_seconds, bad.ending)
            != (good.content(), 200, 0, "whole")
        )

    assert any(changed)


def test_a_fault_strikes_only_the_calls_it_is_for() -> None:
    """Tests place faults by path, number and count, and ask how often they struck."""
    account = Account(SMALL)
    account.faults.add(
        faults.status(503).only(on_path("deals"), times=2),
        faults.status(500).only(on_numbers(5)),
        faults.status(418).only(share=0),
    )
    with calling(account) as client:
        paths = ["deals", "users", "deals", "deals", "users"]
        statuses = [client.get(path).status_code for path in paths]

    assert statuses == [503, 200, 503, 200, 500]
    assert account.faults.hits == {"status-503": 2, "status-500": 1}


def test_the_help_of_simulate_names_every_fault() -> None:
    """The help text is written by hand."""
    simulate = get_command(app).commands["simulate"]  # type: ignore[attr-defined]  # a click group
    (option,) = [param for param in simulate.params if param.name == "fault"]

    assert [name for name in FAULTS if name not in option.help] == []


# Changes


@pytest.mark.parametrize("dataset", ["contacts", "deals"])
def test_changes_show_and_new_ids_are_the_highest(dataset: DatasetName) -> None:
    """The guarantees of a copy under change are stated in these terms."""
    account = Account(replace(SMALL, masked_share=0))
    before = account.ids(dataset)
    mark = account.mark()
    old = expected_record(account, dataset, before[5])

    added = account.add(dataset, 3)
    changed = account.change(dataset, [before[5]])
    new = expected_record(account, dataset, before[5])
    deleted = account.delete(dataset, 10)

    assert min(added) > before[-1]
    assert changed == [before[5]]
    assert new != old
    assert new["cdate"] == old["cdate"]
    assert account.ever(dataset) == {*before, *added}
    assert account.untouched_since(dataset, mark) == {*before} - {*deleted}
    account.delete(dataset, account.ids(dataset))
    assert account.ids(dataset) == []
    assert min(account.add(dataset)) > max(added)


def test_an_action_can_run_before_or_after_a_page_is_cut_out() -> None:
    """A deletion between two pages is what makes readers by offset lose records."""
    account = Account(SMALL)
    everyone = account.ids("deals")
    on_call(account, lambda call: call.number == 1, lambda: account.add("deals"), moment="before")
    on_call(account, lambda call: call.number == 2, lambda: account.delete("deals", everyone[:3]))
    with calling(account) as client:
        totals = [client.get("deals").json()["meta"]["total"] for _ in range(3)]

    assert totals == [251, 251, 248]


def test_churn_changes_the_account_and_knows_what_stayed() -> None:
    """A copy under churn is held to the records that existed all the time."""
    account = Account(SMALL)
    everyone = account.ids("contacts")
    with Churn(account, per_second=2000) as churn, calling(account) as client:
        while sum(churn.made.values()) < 200:
            client.get("contacts", params=BY_ID).raise_for_status()
    deleted = account.ever("contacts") - {*account.ids("contacts")}

    assert churn.existed_throughout("contacts") == {*everyone} - deleted
    assert all(churn.made.values())


@pytest.mark.parametrize("order", ["ascending", "descending", "none"])
def test_activities_lead_to_the_present_stage_and_status(order: Order) -> None:
    """The history of a deal starts before the first sync, and continues with each change."""
    account = Account(replace(SMALL, activity_order=order))
    account.change("deals", 60)
    account.delete("deals", 5)
    account.add("deals", 3)

    with calling(account) as client:
        page = client.get("dealActivities", params={"limit": 100, "exclude": "email"}).json()

    ids = [int(row["id"]) for row in page["dealActivities"]]
    assert (ids == sorted(ids), ids == sorted(ids, reverse=True)) == (
        order == "ascending", order == "descending"
    )  # fmt: skip
    assert not any(row["dataType"] == "email" for row in page["dealActivities"])
    stays = expected_stays(account)
    assert len(stays) > 200
    for deal, known in stays.items():
        row, _ = account.record("deals", deal)
        stage, status, _ = known[-1]
        if not row["isDisabled"]:
            assert (stage, status) == (int(row["stage"]), DEAL_STATUSES[row["status"]])


def test_activities_can_be_filtered_by_type(account: Account) -> None:
    """acsync reads only those that it keeps."""

    def kinds(**params: str) -> set[str]:
        rows = read_json(account, "dealActivities", limit="100", **params)["dealActivities"]
        return {row["dataType"] for row in rows}

    assert kinds(**{"filters[data_type]": "status"}) == {"status"}
    assert kinds() == {"", "d_stageid", "email", "note", "status"}
