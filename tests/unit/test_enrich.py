"""Records are joined to their explanations, and every received value stays as it was."""

from decimal import Decimal
from typing import Any

import orjson
import pytest

from acsync.activecampaign.page import parse_json
from acsync.datasets import ListingName, Record
from acsync.enrich.custom_fields import split_choices
from acsync.enrich.encoding import encode, keep_last_body
from acsync.enrich.enricher import Enricher
from acsync.enrich.relations import join_relations, relations_of
from acsync.errors import PaginationError

FIELDS: list[Record] = [
    {"id": "2", "perstag": "COLOUR", "title": "Colour", "type": "listbox"},
    {"id": "1", "perstag": "COLOUR", "title": "Shade", "type": "text"},
    {"id": "3", "perstag": "", "title": "No tag", "type": "date"},
    {"id": "10", "perstag": None, "title": None, "type": None},
]
DEAL_FIELDS: list[Record] = [
    {"id": "1", "fieldLabel": "Amount", "fieldType": "currency"},
    {"id": "2", "fieldLabel": "Close", "fieldType": "date"},
    {"id": "3", "fieldLabel": "Tags", "fieldType": "multiselect"},
    {"id": 4, "fieldLabel": "Notes", "fieldType": "textarea"},
    {"id": "5", "fieldLabel": "Odd", "fieldType": "hologram"},
]


def enrich_contact(*values: Record, fields: list[Record] = FIELDS) -> dict[str, Any]:
    row = {"id": "7", "email": "", "fieldValues": [value.get("id") for value in values]}
    [record] = Enricher("contacts", {"contact_fields": fields}).enrich([row], values)
    return record["customFields"]  # type: ignore[no-any-return]


def enrich_deal(row: Record, *values: Record, **listings: list[Record]) -> Record:
    known: dict[ListingName, list[Record]] = {
        "deal_fields": DEAL_FIELDS,
        "pipelines": listings.get("pipelines", []),
        "stages": listings.get("stages", []),
        "users": listings.get("users", []),
    }
    [record] = Enricher("deals", known).enrich([row], values)
    return record


def test_a_contact_gets_its_values_under_the_tag_of_their_field() -> None:
    """If two fields share a tag, the first keeps it and the other adds its id."""
    fields = enrich_contact(
        {"id": "90", "contact": "7", "field": "1", "value": "007"},
        {"id": "91", "contact": "7", "field": "2", "value": "||red||blue||"},
        {"id": "92", "owner": 7, "field": 3, "value": None},
        {"id": "93", "contact": "7", "field": "10", "value": ""},
        {"id": "94", "contact": "7", "field": "99", "value": "dangling"},
        {"id": "95", "contact": "8", "field": "1", "value": "of another contact"},
    )

    assert fields == {
        "COLOUR": {"value": "007", "fieldId": "1", "fieldTitle": "Shade", "fieldType": "text"},
        "COLOUR_2": {
            "value": "||red||blue||",
            "fieldId": "2",
            "fieldTitle": "Colour",
            "fieldType": "listbox",
            "values": ["red", "blue"],
        },
        "field_3": {"value": None, "fieldId": "3", "fieldTitle": "No tag", "fieldType": "date"},
        "field_10": {"value": "", "fieldId": "10", "fieldTitle": None, "fieldType": None},
        "field_99": {
            "value": "dangling",
            "fieldId": "99",
            "fieldTitle": None,
            "fieldType": None,
        },
    }


def test_a_second_value_of_the_same_field_is_kept_too() -> None:
    """No account is known to send this, but one value must never replace another."""
    fields = enrich_contact(
        {"id": "90", "contact": "7", "field": "1", "value": "a"},
        {"id": "91", "contact": "7", "field": "1", "value": "b"},
    )

    assert {key: entry["value"] for key, entry in fields.items()} == {
        "COLOUR": "a",
        "COLOUR_1": "b",
    }


def test_keys_follow_the_ids_of_values_and_not_their_order() -> None:
    """Another order of the same values must not look like a change; 9 sorts before 10."""
    values = [
        {"id": "10", "contact": "7", "field": "1", "value": "b"},
        {"id": "9", "contact": "7", "field": "1", "value": "a"},
    ]

    assert enrich_contact(*values) == enrich_contact(*reversed(values))
    assert enrich_contact(*values)["COLOUR"]["value"] == "a"


def test_a_value_that_names_no_field_is_kept_by_its_own_id() -> None:
    """Otherwise two of them would share the key `field_None`."""
    fields = enrich_contact(
        {"id": "90", "contact": "7", "field": None, "value": "a"},
        {"id": "91", "contact": "7", "value": "b"},
    )

    assert fields == {
        "field_90": {"value": "a", "fieldId": None, "fieldTitle": None, "fieldType": None},
        "field_91": {"value": "b", "fieldId": None, "fieldTitle": None, "fieldType": None},
    }


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        ("||one||two||", ["one", "two"]),
        ("one", ["one"]),
        ("", []),
        (None, []),
        (["one", "two"], ["one", "two"]),
    ],
)
def test_multiple_choices_are_split_whatever_form_they_come_in(
    value: object, choices: list[str]
) -> None:
    """Recordings have pipes; clients report arrays and plain strings."""
    fields = enrich_contact({"id": "1", "contact": "7", "field": "2", "value": value})

    assert fields["COLOUR_2"]["values"] == choices
    assert fields["COLOUR_2"]["value"] == value


def test_an_account_without_definitions_and_values_works() -> None:
    """A new account has neither."""
    assert enrich_contact(fields=[]) == {}
    assert Enricher("contacts", {"contact_fields": []}).enrich([], []) == []


SNAKE: Record = {
    "custom_field_text_value": None,
    "custom_field_text_blob": None,
    "custom_field_date_value": None,
    "custom_field_datetime_value": None,
    "custom_field_number_value": None,
    "custom_field_currency_value": None,
}


def test_a_deal_value_is_read_from_the_column_of_its_type() -> None:
    """The text column alone has no money and no dates. A wrong column is better than none."""
    record = enrich_deal(
        {"id": "7", "group": None},
        {**SNAKE, "deal_id": "7", "custom_field_id": "1", "custom_field_currency_value": "9900"},
        {
            **SNAKE,
            "deal_id": 7,
            "custom_field_id": 2,
            "custom_field_text_value": "x",
            "custom_field_date_value": "2026-03-15 00:00:00",
        },
        {**SNAKE, "deal_id": "7", "custom_field_id": "3", "custom_field_text_value": "||a||"},
        {**SNAKE, "deal_id": "7", "custom_field_id": "4", "custom_field_text_blob": "long"},
        {**SNAKE, "deal_id": "7", "custom_field_id": "5", "custom_field_number_value": 0},
    )

    assert {key: entry["value"] for key, entry in record["customFields"].items()} == {
        "Amount": "9900",
        "Close": "2026-03-15 00:00:00",
        "Tags": "||a||",
        "Notes": "long",
        "Odd": 0,
    }
    assert record["customFields"]["Tags"]["values"] == ["a"]


@pytest.mark.parametrize(
    ("field_id", "cells", "value"),
    [
        ("2", {"custom_field_text_value": "", "custom_field_date_value": "2026-03"}, "2026-03"),
        ("5", {"custom_field_text_value": "", "custom_field_number_value": "7"}, "7"),
        ("2", {"custom_field_date_value": "", "custom_field_text_value": "soon"}, "soon"),
        ("4", {"custom_field_text_value": "", "custom_field_text_blob": "long"}, "long"),
        ("2", {"custom_field_text_value": "", "custom_field_date_value": None}, ""),
        ("2", {}, None),
    ],
)
def test_an_empty_text_hides_no_value_in_another_column(
    field_id: str, cells: Record, value: object
) -> None:
    """The column of the type comes first, then the first filled column."""
    record = enrich_deal(
        {"id": "7"}, {**SNAKE, "id": "1", "deal_id": "7", "custom_field_id": field_id, **cells}
    )

    [entry] = record["customFields"].values()
    assert entry["value"] == value


@pytest.mark.parametrize(
    ("cells", "currency"),
    [
        ({"custom_field_currency_type": "USD"}, "usd"),
        ({"fieldCurrency": "cad", "fieldValue": 9900}, "cad"),
        ({}, None),
    ],
)
def test_a_currency_field_carries_its_currency(cells: Record, currency: str | None) -> None:
    """9900 of what?"""
    record = enrich_deal({"id": "7"}, {"id": "1", "deal_id": "7", "custom_field_id": "1", **cells})

    assert record["customFields"]["Amount"]["currency"] == currency


def test_the_camel_case_form_of_deal_values_is_accepted() -> None:
    """Two clients read this form from the same include."""
    record = enrich_deal(
        {"id": "7"}, {"id": "5", "dealId": 7, "customFieldId": 3, "fieldValue": ["a", "b"]}
    )

    assert record["customFields"] == {
        "Tags": {
            "value": ["a", "b"],
            "fieldId": "3",
            "fieldLabel": "Tags",
            "fieldType": "multiselect",
            "values": ["a", "b"],
        }
    }


def test_a_deal_carries_its_pipeline_stage_and_owner_or_null() -> None:
    """Pipelines are deleted and people leave, but their deals stay."""
    record = enrich_deal(
        {"id": "7", "group": 1, "stage": "2", "owner": "99"},
        pipelines=[{"id": "1", "title": "Sales", "currency": "usd"}],
        stages=[{"id": "2", "title": "New", "order": "1", "dealOrder": "x", "group": "1"}],
        users=[],
    )

    assert record == {
        "id": "7",
        "group": 1,
        "stage": "2",
        "owner": "99",
        "customFields": {},
        "pipelineData": {"id": "1", "title": "Sales", "currency": "usd"},
        "stageData": {"id": "2", "title": "New", "order": "1", "dealOrder": "x", "group": "1"},
        "ownerData": None,
    }


def test_every_value_survives_to_the_last_digit() -> None:
    """pandas would turn null into NaN and ints into floats; orjson alone would round decimals."""
    text = (
        '{"id":"7","none":null,"zeros":"007","whole":9007199254740993,"exact":1.10,'
        '"huge":1e400,"long":123456789012345678901234567890,"deep":[[{"a":[null,false]}]]}'
    )

    record = Enricher("contacts", {"contact_fields": []}).enrich([parse_json(text.encode())], [])[0]
    body = encode(record).body.decode()

    assert body == (
        '{"customFields":{},"deep":[[{"a":[null,false]}]],"exact":1.10,'
        f'"huge":{10**400},"id":"7",'
        '"long":123456789012345678901234567890,"none":null,"whole":9007199254740993,'
        '"zeros":"007"}'
    )


def test_characters_that_postgres_cannot_store_are_removed_and_counted() -> None:
    """jsonb refuses NUL and half a surrogate pair. One such name must not stop a sync."""
    encoded = encode({"id": "7", "a\x00": ["x\x00\x00y", "\ud83d"], "text": "\\u0000", "ok": "😀"})

    assert orjson.loads(encoded.body) == {
        "id": "7",
        "a": ["xy", "\ufffd"],
        "text": "\\u0000",
        "ok": "😀",
    }
    assert encoded.cleaned == 4


def test_a_hash_tells_content_apart_and_not_the_order_of_keys() -> None:
    """The API's key order is not fixed, but null and "" are different content."""
    first = encode({"id": "7", "a": None, "b": Decimal("1.0")})
    same = encode({"b": Decimal("1.0"), "a": None, "id": "7"})
    others = [encode({"id": "7", "a": a, "b": b}) for a, b in [("", Decimal("1.0")), (None, 1)]]

    assert first.hash == same.hash
    assert len({first.hash, *(other.hash for other in others)}) == 3


def test_a_masked_deal_keeps_its_last_known_body_and_stays_marked() -> None:
    """Writing the stub's missing keys as null would overwrite known values."""
    stub = enrich_deal({"id": "7", "title": "New title", "status": "1", "isDisabled": True})
    last = {
        "id": "7",
        "title": "Old",
        "value": "9",
        "customFields": {"A": 1},
        "stageData": {"b": 2},
    }

    assert keep_last_body(stub, last) == {
        "id": "7",
        "title": "New title",
        "status": "1",
        "isDisabled": True,
        "value": "9",
        "customFields": {"A": 1},
        "stageData": {"b": 2},
    }
    assert keep_last_body(stub, None) == stub


def test_keys_that_become_equal_lose_no_value() -> None:
    """Two keys that differ only by a NUL are equal for Postgres, which keeps the last value."""
    encoded = encode({"id": "7", "a\x00": 1, "a": 2, "a_": 3, "\x00a": 4})
    fields = enrich_contact(
        {"id": "90", "contact": "7", "field": "1", "value": "a"},
        {"id": "91", "contact": "7", "field": "2", "value": "b"},
        {"id": "92", "contact": "7", "field": "9", "value": "nobody defined it"},
        fields=[
            {"id": "1", "perstag": "T", "title": "", "type": ["odd"]},
            {"id": "2", "perstag": "T\x00", "title": "", "type": {"odd": 1}},
            {"id": "3", "perstag": "field_9", "title": "", "type": "text"},
        ],
    )

    assert orjson.loads(encoded.body) == {"id": "7", "a": 2, "a_": 3, "a__": 1, "a___": 4}
    assert {key: entry["value"] for key, entry in fields.items()} == {
        "T": "a",
        "T_2": "b",
        "field_9_9": "nobody defined it",
    }


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("1e131071", "1" + "0" * 131_071),
        ("1e131072", '"1E+131072"'),
        ("1e-16383", f"0.{'0' * 16_382}1"),
        ("1e-16384", '"1E-16384"'),
        ("1e99999999999999999999", '"1e99999999999999999999"'),
        ("-Infinity", '"-Infinity"'),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
    ],
)
def test_a_number_that_postgres_cannot_store_is_kept_as_text(sent: str, stored: str) -> None:
    """Numbers in jsonb have up to 131,072 digits before the point and 16,383 after it."""
    record = parse_json(b'{"id":"7","n":%s}' % sent.encode())

    assert encode(record).body.decode() == f'{{"id":"7","n":{stored}}}'


def test_a_record_that_is_nested_too_deeply_is_named() -> None:
    """Leaving out the record silently would make the copy wrong."""
    deep = parse_json(b"[" * 300 + b"]" * 300)

    with pytest.raises(PaginationError, match="record with id 7 "):
        encode({"id": "7", "deep": deep})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["a", "b"], ("a", "b")),
        ({"0": "a", "2": "b"}, ("a", "b")),
        (None, ()),
        (7, ()),
        (True, ()),
        ("abc", ()),
        ({"a": "b"}, ()),
    ],
)
def test_only_a_list_has_choices(options: object, expected: tuple[str, ...]) -> None:
    """PHP writes a list with gaps as an object; its keys are not choices."""
    field = {"id": "1", "fieldLabel": "Size", "fieldType": "dropdown", "fieldOptions": options}
    listings = {"deal_fields": [field], "pipelines": [], "stages": [], "users": []}

    (defined,) = Enricher("deals", listings).fields  # type: ignore[arg-type]

    assert defined.options == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"0": "a", "2": "b"}, ["a", "b"]), ({}, []), (7, ["7"]), ({"a": 1}, [{"a": 1}])],
)
def test_choices_that_php_sends_as_an_object_are_its_values(
    value: object, expected: list[object]
) -> None:
    assert split_choices(value) == expected


def test_a_tag_without_a_name_is_left_out() -> None:
    """It used to become a tag called None."""
    related: dict[str, list[Record]] = {
        "contactTags": [{"contact": "7", "tag": tag} for tag in ("1", "2")],
        "tags": [{"id": "1", "tag": None}, {"id": "2", "tag": "VIP"}],
    }

    (contact,) = join_relations([{"id": "7", "contactTags": {"0": "12", "2": "9"}}], related, {})

    assert contact["tags"] == ["VIP"]
    assert contact["contactTags"] == ["9", "12"]


TAGS: list[Record] = [{"id": "3", "tag": "VIP\0"}, {"id": "x", "tag": "odd id"}]


def tagged(tag: str, cdate: object) -> Record:
    return {"contact": "7", "tag": tag, "cdate": cdate}


@pytest.mark.parametrize(
    ("dates", "added"),
    [
        (["2024-03-01T10:00:00-06:00"], 1709308800),
        (["2024-03-01 16:00:00Z", "2021-03-01T10:00:00-06:00", None], 1614614400),
        ([None, ""], None),
        (["2024-03-01 10:00:00"], None),
        (["0000-00-00T00:00:00-06:00"], None),
        ([7], None),
    ],
)
def test_a_tag_counts_from_its_earliest_date(dates: list[object], added: int | None) -> None:
    """A contact can have two rows of one tag, and a date can be missing or have no offset."""
    rows = [tagged("3", cdate) for cdate in dates] + [tagged("4", None), tagged("x", None)]

    assert relations_of({"contactTags": rows, "tags": TAGS}, {}) == {
        "7": {"tags": {"3": ["VIP", added]}}
    }


def test_the_newest_membership_of_a_list_counts() -> None:
    """Unknown statuses stay numbers, a missing one is null, and an empty reason is none."""
    old = {"contact": "7", "list": "2", "status": "2", "unsubreason": "Too many", "id": "9"}
    new = {"contact": "7", "list": "2", "status": "91", "unsubreason": "", "id": "10"}
    other = old | {"list": "5", "udate": "2024-03-01T10:00:00-06:00"}
    unknown: Record = old | {"list": "6", "status": None, "unsubreason": None}
    lists: list[Record] = [{"id": "2", "name": "News"}]
    related = {"contactLists": [new, old, other, unknown]}

    relations = relations_of(related, {"lists": lists})
    [record] = join_relations([{"id": "7"}], related, {"lists": lists})

    assert relations["7"]["lists"] == {
        "2": ["News", "91", None, None, None],
        "5": [None, "unsubscribed", None, 1709308800, "Too many"],
        "6": [None, None, None, None, None],
    }
    statuses = [(each["id"], each["status"]) for each in record["lists"]]
    assert statuses == [("2", "91"), ("2", "unsubscribed"), ("5", "unsubscribed"), ("6", None)]


def test_relations_are_part_of_the_hash_and_not_of_the_record() -> None:
    """An unchanged sync compares hashes only."""
    record: Record = {"id": "7"}
    plain, tags = encode(record, {}), encode(record, {"tags": {"3": ["VIP\0", 5]}})

    assert plain == encode(record)
    assert tags.body == plain.body
    assert (tags.relations, tags.cleaned) == (b'{"tags":{"3":["VIP",5]}}', 1)
    assert tags.hash != plain.hash != encode(record, {"tags": {"3": ["VIP", 6]}}).hash
