"""Hostile content is stored as received and shown safely, or refused with its name."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from itertools import chain
from random import Random
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from acsync.datasets import DATASETS, LISTINGS, DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.simulator.expected import enrich_contact, enrich_deal
from acsync.simulator.fault_injection import Fault
from acsync.simulator.requests import Answer, Call
from acsync.store.database import Database
from acsync.store.snapshot import published_ids, published_records
from tests.support import faults
from tests.support.calls import on_path
from tests.support.commands import acsync
from tests.support.fixtures import CopyAccount, Sync
from tests.support.syncs import changes_of, last_log

TEXTS = (
    "NUL \x00 and \x00\x00",
    "\x00",
    "half \ud83d of a pair, and \udc00",
    "x" * 100_000,
    "é😀𝄞" * 8_000,
    "NaN",
    "'); DROP TABLE ac_contact_versions; --",
    "<img src=x onerror=alert(1)><!-- </script>",
    "{{ 7 * 7 }} {% raw %} ${x} #{y}",
    "100 % %s %(name)s %% {0} {name}",
    "[red]markup[/] [/nothing] :smile:",
    "\x1b[2J\x1b]0;title\x07 \x9b31m \u202eback\u202c",
    "\\u0000 \\x00 \\N \\. \\",
    "tab\tnew\nline\r\nend\\",
    "👩‍👩‍👧‍👦 \u200b\u2028\ufeff\uffff",
    "\N{REPLACEMENT CHARACTER}",
)

DATES = {
    "2026-03-15T10:00:00+05:30": "2026-03-15T04:30:00+00:00",
    "2026-03-15T10:00:00-03:30": "2026-03-15T13:30:00+00:00",
    "2026-03-15T10:00:00.123456Z": "2026-03-15T10:00:00.123456+00:00",
    "0000-00-00 00:00:00": None,
    "0000-00-00T00:00:00-05:00": None,
    "2026-02-30T10:00:00+00:00": None,
    "2024-02-29T10:00:00+00:00": "2024-02-29T10:00:00+00:00",
    "2025-02-29T10:00:00+00:00": None,
    "2026-04-31T10:00:00+00:00": None,
    "2026-00-10T10:00:00+00:00": None,
    "0000-01-01T10:00:00+00:00": None,
    "9999-12-31T23:59:59+00:00": "9999-12-31T23:59:59+00:00",
    "2026-03-15T25:00:00+00:00": None,
    "2026-03-15T10:00:00+99:99": None,
    "2026-03-15 10:00:00": None,
    "infinity": None,
    "now": None,
    "": None,
    "9" * 50: None,
}
"""Values of `cdate`, and how the views show them."""

ODD = (
    '{"nan":NaN,"minus":-Infinity,"huge":1e400,"beyond":1e200000,"tiny":1e-20000,'
    '"absurd":1e99999999999999999999,"exact":1.10,"least":-9223372036854775808,'
    '"most":18446744073709551615,"long":' + "7" * 5_000 + ',"same":1,"sa\\u0000me":2,'
    '"":{"$":[null,[],{},false]},"deep":' + "[" * 200 + "]" * 200 + ',"same":3}'
)
"""JSON as it is sent. Of the two values of `same`, the last counts."""

ODD_STORED: Record = {
    "nan": "NaN",
    "minus": "-Infinity",
    "huge": 10**400,
    "beyond": "1E+200000",
    "tiny": "1E-20000",
    "absurd": "1e99999999999999999999",
    "exact": Decimal("1.10"),
    "least": -(2**63),
    "most": 2**64 - 1,
    "long": Decimal("7" * 5_000),
    "same": 3,
    "same_": 2,
    "": {"$": [None, [], {}, False]},
    "deep": json.loads("[" * 200 + "]" * 200),
}

SPOILT = frozenset({
    "firstName", "lastName", "phone", "orgname", "title", "description", "value", "perstag",
    "fieldLabel", "custom_field_text_value", "username", "currency", "email",
})  # fmt: skip

PLACEHOLDER = "ODD JSON"


@dataclass
class Sent:
    """The last sent rows by collection and id, and values by collection and record."""

    rows: dict[str, dict[str, Record]] = field(default_factory=dict)
    values: dict[tuple[str, str], list[Record]] = field(default_factory=dict)
    places: dict[tuple[str, int], int] = field(default_factory=dict)
    related: dict[str, dict[str, list[Record]]] = field(default_factory=dict)

    def fault(self) -> Fault:
        """Return a fault that spoils every good answer, and always in the same way."""
        return Fault("hostile", reply=self._reply)

    def _reply(self, call: Call, answer: Answer) -> Answer:
        body = orjson.loads(answer.content())
        datasets = {dataset.path: dataset.sideload for dataset in DATASETS.values()}
        for row in body[call.path]:
            self._spoil_row(call.path, row)
        for value in body.get(datasets.get(call.path, ""), []):
            spoil(value, int(value["id"]))
            owner = str(value.get("deal_id", value.get("dealId", value.get("contact"))))
            kept = self.values.setdefault((call.path, owner), [])
            kept[:] = [other for other in kept if other["id"] != value["id"]] + [value]
        if "contactLists" in body:
            self._keep_related(body)
        content = json.dumps(body).replace(f'"{PLACEHOLDER}"', ODD).encode()
        return replace(answer, data=None, body=content)

    def _keep_related(self, body: Record) -> None:
        """Keep the tags and list memberships of each contact of a page."""
        tags = {tag["id"]: tag for tag in body["tags"]}
        for contact in body["contacts"]:
            related = {
                key: [row for row in body[key] if row["contact"] == contact["id"]]
                for key in ("contactTags", "contactLists")
            }
            named = [tags[row["tag"]] for row in related["contactTags"]]
            self.related[contact["id"]] = related | {"tags": named}

    def _spoil_row(self, path: str, row: Record) -> None:
        number = int(row["id"])
        spoil(row, number)
        if path in {dataset.path for dataset in DATASETS.values()}:
            place = self.places.setdefault((path, number), len(self.places))
            row["cdate"] = list(DATES)[place % len(DATES)]
            row["odd\x00"] = PLACEHOLDER
        self.rows.setdefault(path, {})[row["id"]] = row

    def listings(self) -> dict[Any, list[Record]]:
        """Return the listings as they were sent, cleaned."""
        return {
            name: clean(list(self.rows[listing.path].values()))
            for name, listing in LISTINGS.items()
        }


def spoil(row: Record, number: int) -> None:
    """Put a different hostile text under each key that holds a text."""
    keys = sorted(SPOILT & row.keys())
    row |= {key: TEXTS[(number + place) % len(TEXTS)] for place, key in enumerate(keys)}


def clean(value: Any) -> Any:
    """Return a value as jsonb can hold it: without NULs and half surrogate pairs."""
    if isinstance(value, str):
        whole = value.replace("\x00", "")
        return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in whole)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value


# Every text that an account's users or ActiveCampaign choose.
TEXT_KEYS = (
    *("email", "firstName", "lastName", "phone", "orgname", "title", "description", "currency"),
    *("perstag", "fieldLabel", "type", "fieldType", "tag", "name", "username", "label", "value"),
    *("fieldDefault", "fieldOptions", "stringid", "sdate", "cdate", "custom_field_text_value"),
)

SMALL = AccountOptions(
    contacts=20, deals=20, contact_fields=20, deal_fields=20, users=20, stages=20,
    masked_share=0, rate_limit=None,
)  # fmt: skip

TRUTH: dict[DatasetName, Callable[..., Record]] = {"contacts": enrich_contact, "deals": enrich_deal}


@pytest.fixture
def sent(account: Account) -> Sent:
    """Send hostile content in every text of the account."""
    sent = Sent()
    account.faults.add(sent.fault())
    return sent


def expected(sent: Sent, name: DatasetName) -> dict[int, Record]:
    """Return what the contract says must be stored for the content that was sent."""
    listings, records = sent.listings(), {}
    for record_id, row in sent.rows[name].items():
        values = clean(sent.values.get((name, record_id), []))
        related = [clean(sent.related[record_id])] if name == "contacts" else []
        records[int(record_id)] = TRUTH[name](clean(row), values, listings, *related)
    for record in records.values():
        assert record["odd"] == PLACEHOLDER
        record["odd"] = ODD_STORED
    return records


def differing(stored: dict[int, Record], truth: dict[int, Record]) -> dict[int, set[str]]:
    """Return the keys that differ for each record; whole records would fill the screen."""
    return {
        number: {key for key in row.keys() | other.keys() if row.get(key) != other.get(key)}
        for number in stored.keys() | truth.keys()
        if (row := stored.get(number, {})) != (other := truth.get(number, {}))
    }


def read(database: Database, sql: str) -> list[Any]:
    with database.begin() as connection:
        return list(connection.execute(text(sql)))


@pytest.mark.parametrize(
    "options", [SMALL, replace(SMALL, camel_case_values=True)], ids=["snake", "camel"]
)
def test_everything_hostile_at_once_is_stored_as_received(
    sync: Sync, sent: Sent, database: Database
) -> None:
    """Texts, keys, numbers and dates, and both spellings of a deal's custom fields."""
    assert sync().is_completed(), last_log(database)

    for name in DATASETS:
        stored = published_records(database, name, published_ids(database, name))
        assert differing(stored, expected(sent, name)) == {}


@pytest.mark.parametrize("options", [SMALL])
@pytest.mark.usefixtures("sent")
def test_hostile_content_is_no_change_and_survives_being_masked(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """Cleaned content must compare as equal, and a masked deal keeps its last known body."""
    assert copy_account().success
    assert copy_account().success
    assert changes_of(database) == {"contacts": (0, 0, 0), "deals": (0, 0, 0)}

    before = published_records(database, "deals", account.ids("deals"))
    account.mask(account.ids("deals"))
    assert copy_account("deals", accept_shrink=True).success, last_log(database)

    after = published_records(database, "deals", account.ids("deals"))
    changed = {key for keys in differing(after, before).values() for key in keys}
    assert changed <= {"isDisabled", "title", "status", "cdate"}


@pytest.mark.parametrize("options", [SMALL])
@pytest.mark.usefixtures("sent")
def test_the_views_show_null_for_dates_that_are_none(
    copy_account: CopyAccount, database: Database
) -> None:
    """Old accounts have zero dates and nonsense. Offsets of half an hour exist too."""
    assert copy_account().success

    expected_dates = {sent: when and datetime.fromisoformat(when) for sent, when in DATES.items()}
    for view in ("ac_contacts", "ac_deals"):
        assert (
            dict(read(database, f"select record->>'cdate', created_at from {view}"))
            == expected_dates
        )
    views = ("ac_sync_data", "ac_changes", "ac_latest_sync", "ac_sync_statistics")
    assert all(read(database, f"select {view}::text from {view}") for view in views)


def long_texts(letters: int) -> Fault:
    """Make every text that is no id or number longer by random letters, which do not compress."""
    more = "".join(map(chr, Random(1).choices(range(0x4E00, 0x9FFF), k=letters)))

    def change(_call: Call, body: Record) -> None:
        lists = (rows for rows in body.values() if isinstance(rows, list))
        for row in chain.from_iterable(lists):
            for key in TEXT_KEYS if isinstance(row, dict) else ():
                text = row.get(key)
                if isinstance(text, str) and not text.isdigit():
                    row[key] = text + more

    return faults.body_fault("long-texts", change)


@pytest.mark.parametrize("options", [SMALL])
def test_no_index_refuses_a_long_text(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """An index row holds 2,700 bytes. A longer tag or type blocked contacts and deals."""
    account.faults.add(long_texts(3_000))

    assert copy_account().success, last_log(database)

    sql = "select tags, record -> 'tags' from ac_contacts where tags <> '{}' limit 1"
    ((shown, received),) = read(database, sql)
    assert {len(tag) for tag in shown} == {600}
    assert [tag[:600] for tag in received] == shown
    assert min(map(len, received)) > 3_000
    assert read(database, "select max(length(type)) from ac_fields") == [(100,)]
    assert copy_account().success
    assert changes_of(database) == {"contacts": (0, 0, 0), "deals": (0, 0, 0)}


NASTY = (
    b"\x1b[2J\x1b]0;owned\x07[/red] %s {{7*7}} \x00 \xff <script>alert(1)</script>\r\nERROR line"
)


def test_a_hostile_error_message_is_shown_as_plain_text(
    sync: Sync, account: Account, database: Database, prefect_api: str
) -> None:
    """Errors quote the API, so terminals and logs must not interpret the quote."""
    answer = Answer(404, body=NASTY, content_type="text/html; charset=base64")
    account.faults.add(Fault("nasty", reply=lambda _call, _answer: answer))

    state = sync()
    shown = acsync("sync", PREFECT_API_URL=prefect_api)
    status = acsync("status")

    message = (
        "[2J\ufffd]0;owned\ufffd[/red] %s {{7*7}} \ufffd \ufffd <script>alert(1)</script> ERROR"
    )
    assert message in last_log(database)["contacts_error"]
    assert message in (state.message or "")
    assert message in shown.stderr
    assert (status.returncode, "[/red] %s" in status.stdout) == (0, True)
    everything = shown.stdout + shown.stderr + status.stdout + status.stderr
    assert "Traceback" not in everything
    assert not {
        character for character in everything if not character.isprintable() and character != "\n"
    }


@pytest.mark.parametrize(
    ("path", "levels", "message"),
    [
        ("deals", 300, "254 levels are possible"),
        ("deals", 100_000, "nested too deeply to be read"),
        ("dealStages", 100_000, "nested too deeply to be read"),
    ],
)
def test_json_nested_too_deep_fails_its_dataset_with_the_reason(
    path: str,
    levels: int,
    message: str,
    copy_account: CopyAccount,
    account: Account,
    database: Database,
) -> None:
    """A crash would hide the reason, and a copy without the record would be incomplete."""

    def nest(_call: Any, answer: Answer) -> Answer:
        before, after = answer.content().rsplit(b'"id":', 1)
        deep = b'"deep":' + b"[" * levels + b"]" * levels
        return replace(answer, data=None, body=b'%s%s,"id":%s' % (before, deep, after))

    account.faults.add(Fault("deep", reply=nest, when=on_path(path)))

    assert not copy_account().success

    log = last_log(database)
    assert (log["contacts_success"], log["deals_success"]) == (True, False)
    assert message in log["deals_error"]
