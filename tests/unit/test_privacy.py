"""Fields are removed from records or replaced by hashes that are equal for equal values."""

import hmac
from decimal import Decimal
from typing import Any

import pytest

from acsync.datasets import Record
from acsync.enrich.enricher import Enricher
from acsync.enrich.privacy import Rules, make_hash, make_repeated_hash
from acsync.enrich.private_names import (
    find_named,
    hash_with,
    make_rules,
    read_definitions,
    unknown_field,
)
from acsync.errors import SettingsError, UnknownField
from acsync.preflight.samples import Disguise, find_left_out
from acsync.private_fields import PrivacySettings
from acsync.settings import Settings, read_settings

KEY = b"a key of sixteen characters or more"
FIELDS: list[Record] = [
    {"id": "1", "perstag": "SSN", "title": "Number", "type": "text"},
    {"id": "2", "perstag": "COLOURS", "title": "Colours", "type": "listbox"},
    {"id": "3", "perstag": "BORN", "title": "Born", "type": "date"},
]


def hashed(text: str) -> str:
    return hmac.new(KEY, text.encode(), "sha256").hexdigest()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Ada@Acme.example", hashed("ada@acme.example")),
        ("Ada Lovelace", hashed("Ada Lovelace")),
        ("Zoë\x00", hashed("Zoë")),
        ("half \ud83d", hashed("half \ufffd")),
        ("||red||blue||", f"||{hashed('red')}||{hashed('blue')}||"),
        (["red", ""], [hashed("red"), ""]),
        ({"at": "home"}, {"at": hashed("home")}),
        (1250, hashed("1250")),
        (Decimal("12.50"), hashed("12.50")),
        (True, hashed("true")),
        ("", ""),
        ("\x00", ""),
        (None, None),
    ],
)
def test_equal_values_have_equal_hashes(value: Any, expected: Any) -> None:
    """Null and empty stay. A stored number has the hash of the number that the account sent."""
    assert make_hash(KEY)(value) == expected


def test_hashes_are_not_hashed_again() -> None:
    """The history can hold hashes from before a rule was removed; those of another key are void."""
    again = make_repeated_hash(KEY, is_same_key=True)
    void = make_repeated_hash(KEY, is_same_key=False)

    assert again(hashed("Ada")) == hashed("Ada")
    assert again("Ada") == void("Ada") == hashed("Ada")
    assert void(hashed("Ada")) is None


def rules(left_out: tuple[str, ...] = (), hashes: tuple[str, ...] = ()) -> Rules:
    chosen = PrivacySettings("contacts", left_out, hashes, KEY)
    definitions = read_definitions("contacts", {"contact_fields": FIELDS})
    ids, _, _ = find_named(chosen, definitions, (), {})
    return make_rules(chosen, ids, None, hash_with(KEY))


def enrich(applied: Rules) -> Record:
    row = {"id": "7", "email": "Ada@acme.example", "email_local": "Ada", "phone": "1", "hash": "h"}
    values = [
        {"id": "90", "contact": "7", "field": "1", "value": "078-05-1120"},
        {"id": "91", "contact": "7", "field": "2", "value": "||red||blue||"},
        {"id": "92", "contact": "7", "field": "3", "value": "1815-12-10"},
    ]
    [record] = Enricher("contacts", {"contact_fields": FIELDS}, applied).enrich([row], values)
    return record


def test_derived_keys_go_with_their_field() -> None:
    """An address is also in its halves, and ActiveCampaign's hash stands for it."""
    without = enrich(rules(("email", "phone", "customFields.SSN", "customFields.3")))
    with_hashes = enrich(rules((), ("email", "customFields.COLOURS")))

    assert without.keys() == {"id", "customFields"}
    assert without["customFields"].keys() == {"COLOURS"}
    assert with_hashes["email"] == hashed("ada@acme.example")
    assert with_hashes["email_local"] == hashed("ada")
    assert with_hashes["hash"] == hashed("h")
    assert with_hashes["customFields"]["COLOURS"] == {
        "value": f"||{hashed('red')}||{hashed('blue')}||",
        "values": [hashed("red"), hashed("blue")],
        "fieldId": "2",
        "fieldTitle": "Colours",
        "fieldType": "listbox",
    }


def test_a_reason_for_unsubscribing_can_be_left_out() -> None:
    """It is free text of the contact, and only the long view has it."""
    lists = {"5": ["News", "unsubscribed", 1, 2, "My ex reads along"]}

    assert rules(("unsubreason",)).apply_to_relations({"lists": {"5": [*lists["5"]]}}) == {
        "lists": {"5": ["News", "unsubscribed", 1, 2, None]}
    }


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    """A field that was named before stays named under another key."""
    definitions = read_definitions("contacts", {"contact_fields": FIELDS})
    chosen = PrivacySettings("contacts", ("customFields.COLORS", "customFields.OLD"))

    ids, vanished, unknown = find_named(chosen, definitions, [("8", "OLD")], {"OLD": ["9"]})

    assert (ids["OLD"], vanished, unknown) == (["8", "9"], ["OLD"], ["COLORS"])
    error = unknown_field(chosen, "COLORS", definitions)
    assert isinstance(error, UnknownField)
    assert "Did you mean contacts.customFields.COLOURS?" in str(error)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"ACSYNC_EXCLUDE": "contacts.phne"}, "did you mean contacts.phone?"),
        ({"ACSYNC_EXCLUDE": "contact.phone"}, "did you mean contacts.phone?"),
        ({"ACSYNC_EXCLUDE": "deals.id"}, "is no such field"),
        ({"ACSYNC_EXCLUDE": "contacts.customFields."}, "is no such field"),
        ({"ACSYNC_HASH": "contacts.email"}, "ACSYNC_HASH needs a key"),
        ({"ACSYNC_HASH_KEY": "hunter2"}, "ACSYNC_HASH_KEY is shorter than 16 characters"),
        (
            {"ACSYNC_HASH": "contacts.tags", "ACSYNC_HASH_KEY": KEY.decode()},
            "contacts.tags, which can only be left out",
        ),
        (
            {
                "ACSYNC_HASH": "contacts.first_name",
                "ACSYNC_EXCLUDE": "contacts.firstName",
                "ACSYNC_HASH_KEY": KEY.decode(),
            },
            "contacts.firstName, which ACSYNC_EXCLUDE names too",
        ),
        ({"ACSYNC_NEW_FIELDS": "ask"}, "ACSYNC_NEW_FIELDS is 'ask'"),
    ],
)
def test_wrong_names_and_weak_keys_are_refused(variables: dict[str, str], problem: str) -> None:
    """The message never has the key."""
    with pytest.raises(SettingsError) as caught:
        read_settings([], **variables)

    assert problem in str(caught.value)
    assert "hunter2" not in str(caught.value)


def privacy_settings(**variables: str) -> Settings:
    return read_settings([], ACSYNC_HASH_KEY=KEY.decode(), **variables)


def test_settings_are_read_by_dataset_and_hide_the_key() -> None:
    """Tags, lists and owners that are left out are not even requested."""
    settings = privacy_settings(
        ACSYNC_EXCLUDE="contacts.phone, deals.owner,contacts.tags,contacts.customFields.SSN",
        ACSYNC_HASH="deals.title",
    )

    assert settings.privacy("contacts").rules == (
        "exclude contacts.customFields.SSN",
        "exclude contacts.phone",
        "exclude contacts.tags",
    )
    assert settings.privacy("deals").rules == ("exclude deals.owner", "hash deals.title")
    assert settings.relations("contacts") == ("lists",)
    assert "users" not in settings.needs("deals")
    assert KEY.decode() not in f"{settings!r}{settings.privacy('deals')!r}"
    deals = settings.privacy("deals")
    assert PrivacySettings.from_rules("deals", deals.rules).rules == deals.rules


def test_samples_have_nothing_that_rules_name() -> None:
    """A disguise keeps single digits and the words of the API, which are values too."""
    left_out = find_left_out(
        privacy_settings(ACSYNC_EXCLUDE="contacts.phone,contacts.customFields.9")
    )
    body = {
        "contacts": [{"id": "7", "phone": "5", "ip": "0"}],
        "fieldValues": [{"field": "9", "value": "true"}],
    }

    assert Disguise(left_out).value(body) == {
        "contacts": [{"id": "7", "phone": None, "ip": "0"}],
        "fieldValues": [{"field": "9", "value": None}],
    }
