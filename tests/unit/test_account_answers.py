"""`acsync check` lets the account answer what its documentation leaves open."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from acsync.activecampaign.client import Exchange
from acsync.datasets import Record
from acsync.preflight.account_answers import answer_currencies
from acsync.preflight.account_checks import check_with
from acsync.preflight.check_result import CheckResult
from acsync.preflight.database_checks import Known
from acsync.preflight.samples import SampleWriter
from acsync.settings import read_settings
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.fault_injection import Fault
from tests.support import faults
from tests.support.calls import is_by_date, on_path
from tests.support.in_memory import client_of

ANSWERS = (
    "contacts: order", "contacts: total", "contacts: by date", "deals: order", "deals: total",
    "deals: by date", "hidden pipelines", "currencies", "time zone", "clock",
)  # fmt: skip
HIDDEN = "dealGroup/get_inaccessible_deal_groups"

Ask: TypeAlias = Callable[..., dict[str, CheckResult]]


def account_of(**options: object) -> Account:
    """Return an account with two deals that changed on the same day, the later id first."""
    account = Account(
        AccountOptions(contacts=70, deals=60, rate_limit=None, masked_share=0, **options)  # type: ignore[arg-type]
    )
    first, last, *_ = account.ids("deals")
    account.clock_offset -= 1
    account.change("deals", [last])
    account.clock_offset += 1
    account.change("deals", [first])
    return account


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Return the answers of an account by the name of the check; none is ever a problem."""
    monkeypatch.setenv("AC_API_URL", "http://localhost")
    monkeypatch.setenv("AC_API_KEY", "simulated-key")
    monkeypatch.setenv("LIMIT_PER_PAGE", "20")

    def run(
        account: Account,
        known: Known | None = None,
        observe: Callable[[Exchange], None] | None = None,
    ) -> dict[str, CheckResult]:
        client = client_of(account, observe=observe)
        results = [*check_with(client, read_settings(), known or Known())]
        answers = {result.check: result for result in results if result.check in ANSWERS}
        assert "problem" not in {result.status for result in answers.values()}
        return answers

    return run


def test_a_healthy_account_answers_every_question(ask: Ask) -> None:
    """Each answer is one line, in 7 calls more than the 13 that the other checks make."""
    account = account_of()

    answers = ask(account)

    assert {check: result.status for check, result in answers.items()} == dict.fromkeys(
        ANSWERS, "ok"
    )
    assert account.statistics.calls == 20
    assert answers["contacts: by date"].seen.startswith(
        "filters[updated_after] works to the second"
    )
    assert answers["deals: by date"].seen.startswith("orders[mdate] works to the second")
    assert answers["currencies"].seen == "Deals are in cents of eur, gbp, usd."
    assert "-05:00 and -06:00" in answers["time zone"].seen
    assert "America/Chicago" in answers["time zone"].seen


@pytest.mark.parametrize(
    ("options", "check", "status", "seen"),
    [
        ({"date_filter": "days"}, "contacts: by date", "ok", "by days alone"),
        ({"clock_offset_seconds": -39.5}, "clock", "ok", "40 s behind that of this machine"),
        ({"clock_offset_seconds": 7200.5}, "clock", "warning", "7,200 s ahead of that of this"),
    ],
    ids=str,
)
def test_each_odd_account_is_described(
    ask: Ask, options: dict[str, object], check: str, status: str, seen: str
) -> None:
    """One line differs from those of a healthy account, and says what to do if anything."""
    answers = ask(account_of(**options))

    assert answers[check].status == status
    assert seen in answers[check].seen
    assert bool(answers[check].remedy) == (status == "warning")
    assert {each.status for each in answers.values() if each.check != check} == {"ok"}


def order_by_day() -> Fault:
    """Send the deals of a page by the day of their date, and those of a day by id."""

    def change(rows: list[Record]) -> None:
        rows.sort(key=lambda row: (row["mdate"][:10], int(row["id"])), reverse=True)

    return faults.rows_fault("orders-by-day", change)


@pytest.mark.parametrize(
    ("fault", "check", "seen"),
    [
        (faults.ignore_parameter("filters"), "contacts: by date", "ignores filters"),
        (faults.status(422), "contacts: by date", "refuses filters"),
        (faults.ignore_parameter("orders"), "deals: by date", "ignores orders[mdate]"),
        (order_by_day(), "deals: by date", "by the day of mdate alone"),
    ],
    ids=["filter ignored", "filter refused", "order ignored", "order by day"],
)
def test_an_account_that_ignores_dates_is_a_warning(
    ask: Ask, fault: Fault, check: str, seen: str
) -> None:
    """The remedy says to leave incremental syncs off."""
    account, (path, _, _) = account_of(), check.partition(":")
    account.faults.add(fault.only(lambda call: call.path == path and is_by_date(call)))

    answers = ask(account)

    assert (answers[check].status, seen in answers[check].seen) == ("warning", True)
    assert "ACSYNC_INCREMENTAL_INTERVAL" in answers[check].remedy
    assert {each.status for each in answers.values() if each.check != check} == {"ok"}


@pytest.mark.parametrize(
    ("fault", "check", "status", "seen"),
    [
        (faults.add_to_total(3), "deals: total", "warning", "3 more than there are ids"),
        (faults.add_to_total(-3), "deals: total", "warning", "3 fewer than there are ids"),
        (faults.add_to_total(40), "deals: total", "warning", "10 or more more than"),
        (faults.add_to_total(-40), "deals: total", "warning", "10 or more fewer than"),
    ],
)
def test_a_total_that_is_not_the_number_of_ids_is_a_warning(
    ask: Ask, fault: Fault, check: str, status: str, seen: str
) -> None:
    """The rows around the end of the collection show it, without a walk."""
    account = account_of()
    account.faults.add(fault.only(on_path("deals")))

    answer = ask(account)[check]

    assert (answer.status, seen in answer.seen) == (status, True), answer.seen


def hide_pipeline(account: Account, pipeline: str) -> None:
    """Hide a pipeline from the user of the key: its deals become stubs."""
    deals = [(deal, account.record("deals", deal)[0]) for deal in account.ids("deals")]
    account.mask(deal for deal, row in deals if row.get("group") == pipeline)
    account.metadata.delete("pipelines", pipeline)
    account.metadata.hidden_pipelines.append(account.metadata.deleted["pipelines"][-1])


def test_hidden_pipelines_are_named(ask: Ask) -> None:
    """The masked deals alone do not say which right is missing."""
    account = account_of()
    hide_pipeline(account, "3")
    hide_pipeline(account, "5")

    answer = ask(account)["hidden pipelines"]

    assert answer.status == "warning"
    assert answer.seen == (
        "The key's user cannot see Pipeline 3, Pipeline 5: their deals are masked."
    )


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(404),
        faults.status(403),
        faults.status(422),
        faults.body_fault("renamed", lambda _, body: body.update(pipelines=body.pop("dealGroups"))),
        faults.body_fault("without-ids", lambda _, body: body.update(dealGroups=[1])),
    ],
    ids=["missing", "forbidden", "refused", "renamed", "numbers"],
)
def test_a_question_without_an_answer_is_unknown(ask: Ask, fault: Fault) -> None:
    """Nobody has recorded this answer, so any may come."""
    account = account_of()
    account.faults.add(fault.only(on_path(HIDDEN)))

    answers = ask(account)

    assert answers["hidden pipelines"].status == "unknown"
    assert answers["hidden pipelines"].seen.startswith("The account does not answer this. ")
    assert {each.status for each in answers.values() if each.check != "hidden pipelines"} == {"ok"}


def test_masked_deals_answer_no_question(ask: Ask) -> None:
    """A key that sees no pipeline gets neither dates nor values of deals."""
    account = account_of()
    account.mask(account.ids("deals"))

    answers = ask(account)

    assert [answers[check].status for check in ("deals: by date", "currencies")] == ["unknown"] * 2


def test_dates_without_an_offset_are_a_warning(ask: Ask) -> None:
    """The views cannot show such a date as a moment."""
    account = account_of()

    def cut(rows: list[dict[str, object]]) -> None:
        for row in rows:
            row.update(cdate=str(row.get("cdate"))[:19], udate=str(row.get("udate"))[:19])

    account.faults.add(faults.rows_fault("naive", cut).only(on_path("contacts")))

    answers = ask(account)

    assert answers["time zone"].status == "warning"
    assert answers["contacts: by date"].status == "unknown"


def test_a_deal_shows_how_its_currency_is_read(ask: Ask) -> None:
    """Whether yen come as yen or as hundredths is documented nowhere."""
    account = account_of()
    in_yen = faults.rows_fault("yen", lambda rows: [row.update(currency="jpy") for row in rows])
    account.faults.add(in_yen.only(on_path("deals")))

    answer = ask(account, Known(digits={"jpy": 2, "krw": 2}))["currencies"]

    assert answer.status == "unknown"
    shown = re.search(r"deal (\d+) is sent as (\d+) and stored as ([\d,.]+) jpy\.", answer.seen)
    assert shown
    deal, sent, stored = shown.groups()
    assert account.record("deals", int(deal))[0]["value"] == sent
    assert float(stored.replace(",", "")) == int(sent) / 100
    assert "usd" not in answer.seen


def test_a_deal_without_a_value_shows_no_currency() -> None:
    """Its value would be shown as None."""
    answer = answer_currencies([{"id": "1", "currency": "jpy", "value": None}], {"jpy": 2})

    assert answer.seen == "No sampled deal has a value."


def test_samples_keep_the_answers(ask: Ask, tmp_path: Path) -> None:
    """Those with and without rows show what the filter lets through."""
    writer = SampleWriter(tmp_path)

    ask(account_of(), observe=writer)

    filtered = "contacts-filters-updated-after-id-greater-id-less-limit-orders-id-200"
    assert {
        f"{filtered}.json",
        f"{filtered}-empty.json",
        "contacts-filters-updated-after-limit-orders-id-200-empty.json",
        "deals-limit-orders-mdate-200.json",
        "deals-limit-offset-orders-id-200.json",
        "dealGroup-get-inaccessible-deal-groups-dealIds-userId-200.json",
    } <= writer.written
    bodies = [json.loads((tmp_path / name).read_text())["body"] for name in writer.written]
    assert all(isinstance(body, dict) for body in bodies)
