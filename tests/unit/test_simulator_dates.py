"""The simulated account dates its changes, and answers questions about dates as it is told to."""

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from acsync.datasets import DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.answers import answer_call
from acsync.simulator.expected import expected_record
from acsync.simulator.id_store import Part
from acsync.simulator.requests import Answer, Call
from acsync.simulator.server import serve

SINCE = "filters[updated_after]"


def ask(account: Account, path: str, **params: str) -> Answer:
    return answer_call(account, Call(path, {"limit": "100", **params}, 1))


def ids_of(answer: Answer) -> list[int]:
    rows: list[Record] = (answer.data or {})["contacts"]
    return [int(row["id"]) for row in rows]


def account_of(**options: object) -> Account:
    return Account(AccountOptions(contacts=300, deals=300, masked_share=0.0, **options))  # type: ignore[arg-type]


def text_of(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def test_the_filter_finds_what_changed_after_a_time() -> None:
    """Added records are changes too. The total counts what passes the filter."""
    account, minute_ago = account_of(), text_of(time.time() - 60)
    changed = sorted([*account.change("contacts", 3), *account.add("contacts")])

    answer = ask(account, "contacts", **{SINCE: minute_ago, "orders[id]": "ASC"})

    assert ids_of(answer) == changed
    assert (answer.data or {})["meta"]["total"] == "4"
    assert not ids_of(ask(account, "contacts", **{SINCE: text_of(time.time() + 60)}))


@pytest.mark.parametrize(("mode", "rows"), [("times", 0), ("days", 2), ("local", 0)])
def test_each_mode_answers_the_filter_in_its_way(mode: str, rows: int) -> None:
    """The bound is a second after both changes."""
    account = account_of(date_filter=mode)
    account.change("contacts", 2)
    now = account.now()
    is_midnight = text_of(now - 7 * 3600)[:10] != text_of(now + 2)[:10]

    answer = ask(account, "contacts", **{SINCE: text_of(now + 1)})

    if not is_midnight:
        assert len(ids_of(answer)) == rows


def test_a_filter_that_ignores_offsets_misses_changes() -> None:
    """Six o'clock in UTC is taken for six o'clock in the account's zone, hours later."""
    account = account_of(date_filter="local")
    account.change("contacts", 2)

    answers = [
        ask(account, "contacts", **{SINCE: text_of(account.now() - hours * 3600)})
        for hours in (1, 7)
    ]

    assert [len(ids_of(answer)) for answer in answers] == [0, 2]


def test_deals_come_newest_first() -> None:
    """Deals that never changed follow in the order of their dates."""
    account = account_of()
    account.change("deals", 5)

    answer = ask(account, "deals", **{"orders[mdate]": "DESC"})
    dates = [row["mdate"] for row in (answer.data or {})["deals"]]

    times = [*map(datetime.fromisoformat, dates)]
    assert times == sorted(times, reverse=True)
    assert len(dates) == 100


def test_hidden_pipelines_are_named_if_both_parameters_come() -> None:
    """As documented, the question needs the ids of deals and of the user."""
    account = account_of()
    account.metadata.hidden_pipelines += account.metadata.listings["pipelines"][:1]
    path = "dealGroup/get_inaccessible_deal_groups"

    answer = ask(account, path, **{"dealIds[]": "1", "userId": "1"})

    assert [row["title"] for row in (answer.data or {})["dealGroups"]] == ["Pipeline 3"]
    assert ask(account, path, userId="1").status == 422


@pytest.mark.parametrize(
    ("name", "part", "keys"),
    [
        ("contacts", "tags", {"tags", "contactTags"}),
        ("contacts", "lists", {"lists"}),
        ("contacts", "custom fields", {"customFields"}),
        ("deals", "custom fields", {"customFields"}),
    ],
)
def test_a_part_changes_with_or_without_the_date(
    name: DatasetName, part: Part, keys: set[str]
) -> None:
    """Nothing else of the record changes."""
    for undated in ((), (part,)):
        account = account_of(undated=undated)
        record_id = account.ids(name)[7]
        before = expected_record(account, name, record_id)

        assert account.change_part(name, part, [record_id]) == [record_id]

        after = expected_record(account, name, record_id)
        dates = set() if undated else {"udate" if name == "contacts" else "mdate"}
        assert {key for key in after if after[key] != before[key]} == keys | dates


def test_answers_carry_the_date_of_the_accounts_clock() -> None:
    """Records are dated by the same clock."""
    account = account_of(clock_offset_seconds=300.0)
    (contact,) = account.change("contacts", 1)
    with serve(account) as url, httpx.Client(headers={"Api-Token": "simulated-key"}) as client:
        date = parsedate_to_datetime(client.get(f"{url}/api/3/users/me").headers["Date"])
    row, _ = account.record("contacts", contact)

    assert 290 < date.timestamp() - time.time() < 310
    assert abs(datetime.fromisoformat(row["udate"]) - date).total_seconds() < 10
