"""Invent contacts and deals: the row of each id and version, and its custom field values."""

from dataclasses import dataclass
from typing import Any

from acsync.datasets import Record
from acsync.simulator import values
from acsync.simulator.id_store import Selected
from acsync.simulator.metadata import Metadata
from acsync.simulator.values import (
    NAIVE,
    STAMPS,
    TIMES,
    ZERO_TIME,
    Field,
    Slots,
    Template,
    choose,
    created_and_updated,
    draw,
    load,
    make_value,
)

CONTACT_SALT, DEAL_SALT, RELATION_SALT = 11, 23, 37
DEPARTED_USERS = ("901", "902")
UNLISTED_STAGE = ("8888", "1")
CURRENCIES = ("usd", "usd", "eur", "gbp")

_CONTACT_ROWS = load("contacts")
_CONTACT = Template(_CONTACT_ROWS["contact"])
# Unset values are null in a contact, and "", "0" or zero dates once it was edited, as recorded.
_EDITED_CONTACT = Template(_CONTACT_ROWS["contact"] | _CONTACT_ROWS["edited"])
_CONTACT_VALUE = Template(_CONTACT_ROWS["value"])
_CONTACT_TAG, _CONTACT_LIST = (
    Template(_CONTACT_ROWS[kind]) for kind in ("contact_tag", "contact_list")
)
_TAG = Template(_CONTACT_ROWS["tag"])

_DEAL_ROWS = load("deals")
_DEAL = Template(_DEAL_ROWS["deal"])
_DEAL_VALUE = Template(_DEAL_ROWS["value"])
_CAMEL_CASE_VALUE = Template(_DEAL_ROWS["camel_case_value"])
# The column a deal's value is in; every other type is in the text column.
_COLUMNS = {
    "textarea": "custom_field_text_blob",
    "date": "custom_field_date_value",
    "datetime": "custom_field_datetime_value",
    "number": "custom_field_number_value",
    "currency": "custom_field_currency_value",
    "checkbox": "custom_field_text_blob",
}


def _tag(number: int) -> Record:
    """Return a tag; every fifth has an odd name, and is rare."""
    name = values.ODD_TEXTS[number % len(values.ODD_TEXTS)] if number % 5 == 0 else f"Tag {number}"
    return _TAG.new(number) | {"tag": name}


def _membership(bits: int) -> Record:
    """Return status and times: unconfirmed, active, unsubscribed or bounced."""
    status = bits % 4
    return {
        "status": str(status),
        "sdate": STAMPS[bits % TIMES] if status else None,
        "udate": STAMPS[(bits >> 4) % TIMES] if status == 2 else None,
    }


@dataclass(frozen=True)
class Contacts:
    """The contacts of one account."""

    seed: int
    slots: Slots
    tags: int
    lists: int

    def sort_key(self, contact_id: int) -> tuple[str, int]:
        """Return the key by which `/contacts` is ordered: the address."""
        return _email(contact_id, draw(self.seed, CONTACT_SALT, contact_id)), contact_id

    def render(self, contact: Selected, sideload: bool) -> tuple[Record, list[Record]]:
        """Return the row as served, and with `sideload` the value rows beside it."""
        bits = draw(self.seed, CONTACT_SALT, contact.id)
        row = self._row(contact, bits)
        if not sideload:
            return row, []
        slots = self.slots.of(contact.id, bits, contact.version)
        rows = [_contact_value(contact.id, STAMPS[bits % TIMES], *slot) for slot in slots]
        row["fieldValues"] = [value["id"] for value in rows]
        return row, rows

    def relations(self, contact: Selected) -> dict[str, list[Record]]:
        """Return the rows of its tags and list memberships, by their key; the newest come first."""
        bits = draw(self.seed, CONTACT_SALT, contact.id)
        now = draw(bits, contact.version, RELATION_SALT)
        tags = [tag for tag in range(1, self.tags + 1) if now >> tag & (7 if tag % 5 else 127) == 1]
        lists = [one for one in range(1, self.lists + 1) if bits >> one & 3]
        return {
            "contactTags": [
                _CONTACT_TAG.new(contact.id * (self.tags + 1) + tag)
                | {"contact": str(contact.id), "tag": str(tag)}
                for tag in reversed(tags)
            ],
            "tags": [_tag(tag) for tag in tags],
            "contactLists": [
                _CONTACT_LIST.new(contact.id * (self.lists + 1) + one)
                | {"contact": str(contact.id), "list": str(one)}
                | _membership(now >> 3 * one)
                for one in reversed(lists)
            ],
        }

    def _row(self, contact: Selected, bits: int) -> Record:
        now = draw(bits, contact.version)
        created, updated = created_and_updated(bits, contact.version)
        edited = now & 1
        row = (_EDITED_CONTACT if edited else _CONTACT).new(contact.id)
        row["cdate"], row["udate"] = STAMPS[created], STAMPS[updated]
        row["created_utc_timestamp"] = row["created_timestamp"] = NAIVE[created]
        row["updated_utc_timestamp"] = row["updated_timestamp"] = NAIVE[updated]
        row["email"] = _email(contact.id, bits)
        row["email_domain"] = "mail.example" if row["email"] else ""
        row["phone"] = values.PHONES[now % len(values.PHONES)]
        row["firstName"] = values.name(bits, values.FIRST_NAMES)
        row["lastName"] = values.name(now, values.LAST_NAMES)
        row["organization"] = str(bits % 500) if bits % 5 == 0 else None
        row["orgid"] = row["organization"] or "0"
        row["orgname"] = values.COMPANIES[bits % 6] if row["organization"] else ""
        row["hash"] = f"{bits:016x}{now:016x}"
        row["rating_tstamp"] = NAIVE[created][:10] if edited else None
        row["adate"] = STAMPS[updated] if edited else None
        row["last_open_date"] = STAMPS[updated] if now % 3 == 0 else None
        return row


def _email(contact_id: int, bits: int) -> str:
    """Return the address; one contact in a hundred has none."""
    return f"{values.WORDS[bits % 16]}.{contact_id}@mail.example" if bits % 100 else ""


def _contact_value(contact_id: int, created: str, value_id: int, field: Field, bits: int) -> Record:
    # Key by key, which is the fastest way: a page has 700 of them.
    row = _CONTACT_VALUE.new(value_id)
    row["contact"] = row["owner"] = str(contact_id)
    row["field"] = str(field.id)
    row["value"] = make_value(field, bits)
    row["cdate"] = created
    row["udate"] = STAMPS[bits % TIMES]
    row["updated_by"] = "0" if bits & 1 else None
    return row


class Deals:
    """The deals of one account; `contacts` is the end of the ids that they may point to."""

    def __init__(
        self, seed: int, slots: Slots, metadata: Metadata, contacts: int, camel_case: bool
    ) -> None:
        self._seed = seed
        self._slots = slots
        self._contacts = contacts
        self._value = _camel_case_value if camel_case else _snake_case_value
        stages = metadata.listings["stages"]
        self._stages = [(stage["id"], stage["group"]) for stage in stages] or [UNLISTED_STAGE]
        self._users = [user["id"] for user in metadata.listings["users"]] or [DEPARTED_USERS[0]]

    def render(self, deal: Selected, sideload: bool) -> tuple[Record, list[Record]]:
        """Return the row as served, and with `sideload` the value rows beside it.

        A masked deal is a stub: no value, stage, dates or custom fields.
        """
        bits = draw(self._seed, DEAL_SALT, deal.id)
        now = draw(bits, deal.version)
        if deal.masked:
            title, status = values.text(bits), str(now % 3)
            return {"title": title, "status": status, "id": str(deal.id), "isDisabled": True}, []
        row = self._row(deal, bits, now)
        if not sideload:
            return row, []
        slots = self._slots.of(deal.id, bits, deal.version)
        rows = [self._value(deal.id, *slot) for slot in slots]
        row["dealCustomFieldData"] = [value["id"] for value in rows]
        return row, rows

    def _row(self, deal: Selected, bits: int, now: int) -> Record:
        created, updated = created_and_updated(bits, deal.version)
        place = self._stages[now % len(self._stages)] if now % 200 else UNLISTED_STAGE
        row = _DEAL.new(deal.id)
        row["stage"], row["group"] = place
        row["owner"] = self._users[now % len(self._users)] if now % 25 else DEPARTED_USERS[bits % 2]
        row["contact"] = str(bits % self._contacts)
        account = str(bits % 400) if bits % 6 == 0 else None
        row["organization"] = row["account"] = row["customerAccount"] = account
        row["hash"] = f"{bits % 2**32:08x}"
        row["title"] = values.text(bits)
        row["description"] = values.text(now) if now % 3 else ""
        row["value"], row["currency"] = str(now % 5_000_000), CURRENCIES[bits % 4]
        row["status"] = str(now % 3)
        row["cdate"], row["mdate"] = STAMPS[created], STAMPS[updated]
        row["edate"] = (None, ZERO_TIME, NAIVE[updated])[now % 3]
        row["nextdate"] = STAMPS[updated] if now % 7 == 0 else None
        row["nexttaskid"] = (None, "0", str(now % 900))[now % 3]
        row["winProbability"] = now % 100 if now % 4 == 0 else None
        row["winProbabilityMdate"] = STAMPS[updated] if now % 4 == 0 else None
        if now % 7 == 0:
            row["nextTask"] = str(now % 900)
        return row


def _snake_case_value(deal_id: int, value_id: int, field: Field, bits: int) -> Record:
    """Return the value in the column of its type; a few texts are in the one for long texts.

    An empty text may stand beside it in the text column.
    """
    column = _COLUMNS.get(field.type, "custom_field_text_value")
    if field.type == "text" and bits % 50 == 1:
        column = "custom_field_text_blob"
    row = _DEAL_VALUE.new(value_id)
    row["deal_id"] = row["deal"] = str(deal_id)
    row["custom_field_id"] = row["dealCustomFieldMetum"] = str(field.id)
    if field.type == "currency":
        row["custom_field_currency_type"] = "USD"
    row["created_timestamp"] = NAIVE[(bits >> 9) % TIMES]
    row["updated_timestamp"] = NAIVE[bits % TIMES]
    if bits % 3 == 0:
        row["custom_field_text_value"] = ""
    row[column] = _typed_value(field, bits)
    return row


def _typed_value(field: Field, bits: int) -> str | None:
    """Return the value as its column holds it: times without an offset, days as times."""
    value = make_value(field, bits)
    if value and field.type == "date":
        return f"{value} 00:00:00"
    return NAIVE[bits % TIMES] if value and field.type == "datetime" else value


def _camel_case_value(deal_id: int, value_id: int, field: Field, bits: int) -> Record:
    currency = {"fieldCurrency": "CAD"} if field.type == "currency" else {}
    return (
        _CAMEL_CASE_VALUE.new(value_id)
        | currency
        | {
            "dealCustomFieldMetumId": field.id,
            "dealId": deal_id,
            "customFieldId": field.id,
            "createdTimestamp": STAMPS[(bits >> 9) % TIMES],
            "updatedTimestamp": STAMPS[bits % TIMES],
            "fieldValue": _untyped_value(field, bits),
        }
    )


def _untyped_value(field: Field, bits: int) -> Any:
    """Return choices as an array and cents as a number; all else is text."""
    value = make_value(field, bits)
    if not value or field.type not in ("multiselect", "checkbox", "currency"):
        return value
    return int(value) if field.type == "currency" else choose(field.choices, bits)
