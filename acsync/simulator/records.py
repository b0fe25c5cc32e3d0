"""Invent contacts and deals: the row of each id and version, and its custom field values."""

from dataclasses import dataclass
from typing import Any

from acsync.datasets import Record
from acsync.simulator import values
from acsync.simulator.id_store import Selected
from acsync.simulator.metadata import Metadata
from acsync.simulator.values import NAIVE, STAMPS, TIMES, Field, Slots, Template, draw, make_value

CONTACT_SALT, DEAL_SALT, RELATION_SALT, TAG_SALT = 11, 23, 37, 41
DEPARTED_USERS = ("901", "902")
UNLISTED_STAGE = ("8888", "1")
# Every 29th contact has one tag in two rows, with different dates.
TAGGED_TWICE = 29
CURRENCIES = ("usd", "usd", "eur", "gbp")

_CONTACT_ROWS = values.load("contacts")
_CONTACT = Template(_CONTACT_ROWS["contact"])
# As recorded: unset values are null in a new contact, and "", "0" or zero dates in an edited one.
_EDITED_CONTACT = Template(_CONTACT_ROWS["contact"] | _CONTACT_ROWS["edited"])
_CONTACT_VALUE, _CONTACT_TAG, _CONTACT_LIST, _TAG = (
    Template(_CONTACT_ROWS[kind]) for kind in ("value", "contact_tag", "contact_list", "tag")
)
_DEAL, _DEAL_VALUE, _CAMEL_CASE_VALUE = (
    Template(values.load("deals")[kind]) for kind in ("deal", "value", "camel_case_value")
)


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

    def first_updated(self, contact_id: int) -> float:
        """Return the date of a contact that was never changed, in seconds since 1970."""
        bits = draw(self.seed, CONTACT_SALT, contact_id)
        return values.SECONDS[values.created_and_updated(bits, 0)[1]]

    def render(self, contact: Selected, sideload: bool) -> tuple[Record, list[Record]]:
        """Return the row as served, and with `sideload` its value rows."""
        bits = draw(self.seed, CONTACT_SALT, contact.id)
        row = _contact_row(contact, bits)
        if not sideload:
            return row, []
        slots = self.slots.of(contact.id, bits, contact.version + contact.fields)
        rows = [_contact_value(contact.id, STAMPS[bits % TIMES], *slot) for slot in slots]
        row["fieldValues"] = [value["id"] for value in rows]
        return row, rows

    def relations(self, contact: Selected) -> dict[str, list[Record]]:
        """Return the rows of its tags and list memberships by their key, the newest first."""
        bits = draw(self.seed, CONTACT_SALT, contact.id)
        now = draw(bits, contact.version + contact.lists, RELATION_SALT)
        tagged = draw(bits, contact.version + contact.tags, RELATION_SALT)
        # Every fifth tag has an odd name, and is rare.
        tags = [
            tag for tag in range(1, self.tags + 1) if tagged >> tag & (7 if tag % 5 else 127) == 1
        ]
        lists = [number for number in range(1, self.lists + 1) if bits >> number & 3]
        # No tag has the number 0, so its place is free for a tag that was added twice.
        twice = [(0, tag) for tag in tags[:1] if bits % TAGGED_TWICE == 0]
        return {
            "contactTags": [
                _CONTACT_TAG.new(contact.id * (self.tags + 1) + place)
                | {"contact": str(contact.id), "tag": str(tag)}
                | _added(draw(bits, place, TAG_SALT))
                for place, tag in [*((tag, tag) for tag in reversed(tags)), *twice]
            ],
            "tags": [_tag(tag) for tag in tags],
            "contactLists": [
                _CONTACT_LIST.new(contact.id * (self.lists + 1) + number)
                | {"contact": str(contact.id), "list": str(number)}
                | _membership(now >> 3 * number)
                for number in reversed(lists)
            ],
        }


def _tag(number: int) -> Record:
    name = values.ODD_TEXTS[number % len(values.ODD_TEXTS)] if number % 5 == 0 else f"Tag {number}"
    return _TAG.new(number) | {"tag": name}


def _added(bits: int) -> Record:
    """Return when a tag was added; for one in fifty nobody knows."""
    time = bits % TIMES
    return {"cdate": STAMPS[time] if bits % 50 else None, "created_timestamp": NAIVE[time]}


def _membership(bits: int) -> Record:
    """Return the status and its times: unconfirmed, active, unsubscribed or bounced.

    Some who unsubscribed say why.
    """
    status = bits % 4
    return {
        "status": str(status),
        "sdate": STAMPS[bits % TIMES] if status else None,
        "udate": STAMPS[(bits >> 4) % TIMES] if status == 2 else None,
        "unsubreason": values.reason(bits >> 2) if status == 2 else None,
    }


def _contact_row(contact: Selected, bits: int) -> Record:
    now = draw(bits, contact.version)
    created, updated = values.created_and_updated(bits, contact.version)
    edited = now & 1
    row = (_EDITED_CONTACT if edited else _CONTACT).new(contact.id)
    row["cdate"], row["udate"] = _dates(contact, created, updated)
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


def _dates(record: Selected, created: int, updated: int) -> tuple[str, str]:
    """Return when a record was created and changed, by the account's clock if that is known."""
    return (
        STAMPS[created] if record.created is None else values.stamp(record.created),
        STAMPS[updated] if record.updated is None else values.stamp(record.updated),
    )


def count_emails(row: Record, emails: int) -> Record:
    """Return the keys of a contact that change if emails are sent to it."""
    sent = {"sentcnt": str(int(row["sentcnt"]) + emails), "adate": STAMPS[emails % TIMES]}
    opened = {"last_open_date": STAMPS[emails % TIMES], "best_send_hour": str(emails % 24)}
    return sent | opened if int(row["id"]) % 2 else sent


def _email(contact_id: int, bits: int) -> str:
    """Return the address; one contact in a hundred has none."""
    return f"{values.WORDS[bits % 16]}.{contact_id}@mail.example" if bits % 100 else ""


def _contact_value(contact_id: int, created: str, value_id: int, field: Field, bits: int) -> Record:
    # Key by key, because that is fastest and a page has 700 of them.
    row = _CONTACT_VALUE.new(value_id)
    row["contact"] = row["owner"] = str(contact_id)
    row["field"] = str(field.id)
    row["value"] = make_value(field, bits)
    row["cdate"] = created
    row["udate"] = STAMPS[bits % TIMES]
    row["updated_by"] = "0" if bits & 1 else None
    return row


class Deals:
    """The deals of one account, which refer to contacts with ids below `contacts`."""

    def __init__(
        self,
        seed: int,
        slots: Slots,
        metadata: Metadata,
        contacts: int,
        camel_case: bool,
    ) -> None:
        self._seed = seed
        self._slots = slots
        self._contacts = contacts
        self._value = _camel_case_value if camel_case else _snake_case_value
        self._stages = [(stage["id"], stage["group"]) for stage in metadata.listings["stages"]]
        self._users = [user["id"] for user in metadata.listings["users"]]

    def first_updated(self, deal_id: int) -> float:
        """Return the date of a deal that was never changed, in seconds since 1970."""
        bits = draw(self._seed, DEAL_SALT, deal_id)
        return values.SECONDS[values.created_and_updated(bits, 0)[1]]

    def render(self, deal: Selected, sideload: bool) -> tuple[Record, list[Record]]:
        """Return the row as served, and with `sideload` its value rows.

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
        slots = self._slots.of(deal.id, bits, deal.version + deal.fields)
        rows = [self._value(deal.id, *slot) for slot in slots]
        row["dealCustomFieldData"] = [value["id"] for value in rows]
        return row, rows

    def position(self, deal_id: int, version: int) -> tuple[str, str]:
        """Return the ids of the stage and status of a deal."""
        now = draw(draw(self._seed, DEAL_SALT, deal_id), version)
        return self._stage(now)[0], str(now % 3)

    def _stage(self, now: int) -> tuple[str, str]:
        return self._stages[now % len(self._stages)] if now % 200 else UNLISTED_STAGE

    def _row(self, deal: Selected, bits: int, now: int) -> Record:
        created, updated = values.created_and_updated(bits, deal.version)
        row = _DEAL.new(deal.id)
        row["stage"], row["group"] = self._stage(now)
        row["owner"] = self._users[now % len(self._users)] if now % 25 else DEPARTED_USERS[bits % 2]
        row["contact"] = str(bits % self._contacts)
        account = str(bits % 400) if bits % 6 == 0 else None
        row["organization"] = row["account"] = row["customerAccount"] = account
        row["hash"] = f"{bits % 2**32:08x}"
        row["title"] = values.text(bits)
        row["description"] = values.text(now) if now % 3 else ""
        row["value"] = str(now % 5_000_000)
        row["currency"] = CURRENCIES[bits % len(CURRENCIES)]
        row["status"] = str(now % 3)
        row["cdate"], row["mdate"] = _dates(deal, created, updated)
        row["edate"] = (None, "0000-00-00 00:00:00", NAIVE[updated])[now % 3]
        row["nextdate"] = STAMPS[updated] if now % 7 == 0 else None
        row["nexttaskid"] = (None, "0", str(now % 900))[now % 3]
        row["winProbability"] = now % 100 if now % 4 == 0 else None
        row["winProbabilityMdate"] = STAMPS[updated] if now % 4 == 0 else None
        if now % 7 == 0:
            row["nextTask"] = str(now % 900)
        return row


def _snake_case_value(deal_id: int, value_id: int, field: Field, bits: int) -> Record:
    """Return the value in the column of its type; sometimes the text column is empty, not null."""
    row = _DEAL_VALUE.new(value_id)
    row["deal_id"] = row["deal"] = str(deal_id)
    row["custom_field_id"] = row["dealCustomFieldMetum"] = str(field.id)
    if field.type == "currency":
        row["custom_field_currency_type"] = "USD"
    row["created_timestamp"] = NAIVE[(bits >> 9) % TIMES]
    row["updated_timestamp"] = NAIVE[bits % TIMES]
    if bits % 3 == 0:
        row["custom_field_text_value"] = ""
    row[f"custom_field_{_column(field.type, bits)}"] = _typed_value(field, bits)
    return row


def _column(kind: str, bits: int) -> str:
    """Return the column of a type; a few texts are in the column for long texts."""
    if kind in {"textarea", "checkbox"} or (kind == "text" and bits % 50 == 1):
        return "text_blob"
    return f"{kind}_value" if kind in {"date", "datetime", "number", "currency"} else "text_value"


def _typed_value(field: Field, bits: int) -> str | None:
    """Return the value as its column holds it: times without an offset, days as times."""
    value = make_value(field, bits)
    if value and field.type == "date":
        return f"{value} 00:00:00"
    return NAIVE[bits % TIMES] if value and field.type == "datetime" else value


def _camel_case_value(deal_id: int, value_id: int, field: Field, bits: int) -> Record:
    return (
        _CAMEL_CASE_VALUE.new(value_id)
        | ({"fieldCurrency": "CAD"} if field.type == "currency" else {})
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
    """Return choices as an array, cents as a number, and other types as text."""
    value = make_value(field, bits)
    if not value or field.type not in {"multiselect", "checkbox", "currency"}:
        return value
    return int(value) if field.type == "currency" else values.choose(field.choices, bits)
