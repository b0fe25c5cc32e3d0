"""Samples of an account's answers can be sent to strangers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsync.activecampaign.client import Params
from acsync.errors import SettingsError
from acsync.preflight.samples import KNOWN_WORDS, Disguise, SampleWriter
from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from tests.support import faults
from tests.support.calls import on_numbers
from tests.support.in_memory import client_of

CONTACTS: Params = {"limit": 100, "orders[id]": "ASC", "include": "fieldValues", "id_greater": 3}

FIRST = "contacts-id-greater-include-limit-orders-id-200.json"


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text and number of a response, but not its keys."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def shape_of(value: Any) -> Any:
    """Return the types, keys and lengths of a response."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(item) for item in value]
    return type(value), len(value) if isinstance(value, str) else None


def test_samples_keep_the_shape_but_no_value(tmp_path: Path) -> None:
    """People can report an oddity without sending anybody's data."""
    account = Account(AccountOptions(contacts=50, deals=50, rate_limit=None))
    bodies: dict[str, Any] = {}
    writer = SampleWriter(tmp_path / "samples")

    def observe(exchange: Any) -> None:
        bodies.setdefault(exchange.path, json.loads(exchange.content))
        writer(exchange)

    client = client_of(account, observe=observe)
    for path in ("contacts", "deals", "users", "fields", "dealGroups", "dealCustomFieldMeta"):
        include = "dealCustomFieldData" if path == "deals" else "fieldValues"
        client.get_page(path, {**CONTACTS, "include": include})
        client.get_page(path, {**CONTACTS, "include": include, "offset": 0})
        client.get_page(path, {**CONTACTS, "include": include})

    files = sorted((tmp_path / "samples").iterdir())
    assert len(files) == 12
    lines = {line.strip() for file in files for line in file.read_text().splitlines()}
    everything = "\n".join(lines)  # each line once, since every text is searched for in it
    originals = {text for body in bodies.values() for text in texts_in(body)}
    personal = {
        text
        for text in originals
        if any(letter.isalpha() for letter in text)
        and len(text) > 3
        and text.lower() not in KNOWN_WORDS
        and set(text) - set("xX9")
        and f'"{text}":' not in everything  # a word that is also a key of the API
    }
    assert len(personal) > 1_000
    assert [
        text for text in personal if json.dumps(text, ensure_ascii=False)[1:-1] in everything
    ] == []
    assert account.options.api_key not in everything
    [sample] = [
        json.loads(file.read_text())
        for file in files
        if file.name.startswith("contacts-id-greater-include-limit-orders")
    ]
    assert shape_of(sample["body"]) == shape_of(bodies["contacts"])
    named = {value for row in sample["body"]["contacts"] for value in row["fieldValues"]}
    assert named == {row["id"] for row in sample["body"]["fieldValues"]}


@pytest.mark.parametrize(
    ("value", "disguised"),
    [
        ("Ada.Lovelace+1@acme.com", "Xxx.Xxxxxxxx+9@xxxx.xxx"),
        ("2026-05-28T03:05:54-05:00", "2001-02-03T04:05:06-00:00"),
        ("2026-05-28 03:05:54", "2001-02-03 04:05:06"),
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
        ("dropdown", "dropdown"),
        ("||red||blue||", "||xxx||xxxx||"),
        ("Größe 🦄\x00", "Xxääx 🦄\x00"),
        ("1", "1"),
        ("", ""),
        (None, None),
        (True, True),
        (12.5, 99.9),
        (1e300, 9e300),
        ("2026-05-28 03:05:54.123 Z", "2001-02-03 04:05:06.000 Z"),
        ("2026-05-28", "2001-02-03"),
        ("2026-05-28 Ada called", "9999-99-99 Xxx xxxxxx"),
        ("2026-05-28 03:05:54-05:00 Ada", "9999-99-99 99:99:99-99:99 Xxx"),
        ("0000-00-00 Ada", "9999-99-99 Xxx"),
        ("2026-05-28\nAda", "9999-99-99\nXxx"),
        ("ⓐⓓⓐ ①②③", "äää 999"),
        ({"a": [471, "471", "4711", "-471"]}, {"a": [100, "100", "1000", "-100"]}),
    ],
)
def test_a_value_becomes_another_of_its_kind(value: Any, disguised: Any) -> None:
    """Type, length, punctuation and oddities stay, because they help to find the error."""
    assert Disguise().value(value) == disguised


def test_errors_and_headers_are_kept_too(tmp_path: Path) -> None:
    """A new kind of refusal is worth more than a good answer."""
    account = Account(AccountOptions(contacts=3, rate_limit=None))
    account.faults.add(
        faults.too_many(0).only(on_numbers(1)),
        faults.html(502).only(on_numbers(2)),
    )
    writer = SampleWriter(tmp_path)
    client_of(account, observe=writer).get_page("contacts", {})

    assert writer.written == {"contacts-429.json", "contacts-502.json", "contacts-200.json"}
    refused = json.loads((tmp_path / "contacts-429.json").read_text())
    assert refused["headers"]["retry-after"] == "0"
    assert "not JSON" in json.loads((tmp_path / "contacts-502.json").read_text())["body"]


def test_a_wrong_folder_is_reported_before_any_call(tmp_path: Path) -> None:
    """The option is wrong, not the account."""
    (tmp_path / "taken").write_text("")

    with pytest.raises(SettingsError, match="--save-samples"):
        SampleWriter(tmp_path / "taken" / "samples")


WORDS = re.compile(r"[^\W\d_]{4,}")
PHONES = re.compile(r"\+?[2-9][0-9]{6,}")
CHOSEN_BY_THE_API = st.sampled_from(["2024-05-06", "2024-05-06T07:08:09-05:00", "||", "dropdown"])
PERSONAL = st.one_of(
    st.text(max_size=20),
    st.from_regex(WORDS, fullmatch=True),
    st.from_regex(PHONES, fullmatch=True),
    st.sampled_from(["Ada Lovelace", "ada@acme.com", "+49 170 1234567", "ГОРОД", "東京都庁舎"]),
)
TEXTS = st.lists(st.one_of(CHOSEN_BY_THE_API, PERSONAL), max_size=5).flatmap(
    lambda parts: st.sampled_from(["", " ", "\n", "-"]).map(lambda glue: glue.join(parts))
)
ANSWERS = st.recursive(
    st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.none()),
    lambda values: st.one_of(
        st.lists(values, max_size=4),
        st.dictionaries(st.sampled_from(["contacts", "email", "phone"]), values, max_size=3),
    ),
)


@given(ANSWERS)
@settings(deadline=None)  # on a busy machine
def test_no_word_or_phone_number_reaches_a_sample(answer: Any) -> None:
    """Only keys, and words that the API itself chose, are the same."""
    disguise = Disguise()

    sample = json.dumps(disguise.value(answer), ensure_ascii=False)

    answered = "\n".join(texts_in(answer))
    kept = {"contacts", "email", "phone", "null", "true", "false", *KNOWN_WORDS}
    personal = {word for word in WORDS.findall(answered) if word.lower() not in kept}
    masked = {word for word in personal if set(word) <= set("xXäÄ")}
    assert [word for word in personal - masked if word in WORDS.findall(sample)] == []
    phones = {phone.strip("+") for phone in PHONES.findall(answered)}
    shown = {phone for phone in phones if phone in sample and set(phone) != {"9"}}
    assert shown == set()
