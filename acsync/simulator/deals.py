"""Invent deals: the row of each id and version, and its custom field values."""

from typing import Any

from acsync.models import Record
from acsync.simulator import texts
from acsync.simulator.chance import draw
from acsync.simulator.fields import Field, deal_fields
from acsync.simulator.links import Links
from acsync.simulator.metadata import Metadata
from acsync.simulator.moments import NAIVE, STAMPS, ZERO_TIME, created_and_updated
from acsync.simulator.options import AccountOptions
from acsync.simulator.population import Selected
from acsync.simulator.values import Slots, choose, make_value, naive_moment

SALT = 23
DEPARTED_USERS = ("901", "902")
UNLISTED_STAGE = ("8888", "1")
CURRENCIES = ("usd", "usd", "eur", "gbp")

_LINKS = Links(
    "deals",
    (
        "dealActivities", "contact", "contactDeals", "group", "nextTask", "notes", "account",
        "customerAccount", "organization", "owner", "scoreValues", "stage", "tasks",
        "dealCustomFieldData",
    ),
)  # fmt: skip
_VALUE_LINKS = Links("dealCustomFieldData", ("deal", "dealCustomFieldMetum"))
_COLUMNS = {
    "textarea": "custom_field_text_blob",
    "date": "custom_field_date_value",
    "datetime": "custom_field_datetime_value",
    "number": "custom_field_number_value",
    "currency": "custom_field_currency_value",
    "checkbox": "custom_field_text_blob",
}
"""The column a type is stored in; every other type is in the text column."""


class Deals:
    """The deals of one account, made from their ids whenever they are asked for."""

    def __init__(self, options: AccountOptions, metadata: Metadata) -> None:
        self._seed = options.seed
        self._camel_case = options.camel_case_values
        self._slots = Slots(deal_fields(options.deal_fields), options.values_per_record)
        self._contacts = 3 * options.contacts + 1
        stages = metadata.listings["stages"]
        self._stages = [(stage["id"], stage["group"]) for stage in stages] or [UNLISTED_STAGE]
        self._users = [user["id"] for user in metadata.listings["users"]] or [DEPARTED_USERS[0]]

    def render(self, deal: Selected, sideload: bool) -> tuple[Record, list[Record]]:
        """Give the row as served, and with `sideload` the value rows beside it.

        A masked deal is a stub: no value, stage, dates or custom fields.
        """
        bits = draw(self._seed, SALT, deal.id)
        now = draw(bits, deal.version)
        if deal.masked:
            title, status = texts.text(bits), str(now % 3)
            return {"title": title, "status": status, "id": str(deal.id), "isDisabled": True}, []
        row = self._row(deal, bits, now)
        if not sideload:
            return row, []
        values = self._values(deal, bits)
        row["dealCustomFieldData"] = [value["id"] for value in values]
        return row, values

    def _values(self, deal: Selected, bits: int) -> list[Record]:
        make = _camel_case_row if self._camel_case else _snake_case_row
        return [make(deal.id, *slot) for slot in self._slots.of(deal.id, bits, deal.version)]

    def _row(self, deal: Selected, bits: int, now: int) -> Record:
        created, updated = created_and_updated(bits, deal.version)
        stage, pipeline = self._stages[now % len(self._stages)] if now % 200 else UNLISTED_STAGE
        owner = self._users[now % len(self._users)] if now % 25 else DEPARTED_USERS[bits % 2]
        account = str(bits % 400) if bits % 6 == 0 else None
        row = {
            "hash": f"{bits % 2**32:08x}",
            "owner": owner,
            "contact": str(bits % self._contacts),
            "organization": account,
            "group": pipeline,
            "stage": stage,
            "title": texts.text(bits),
            "description": texts.text(now) if now % 3 else "",
            "percent": str(now % 101),
            "cdate": STAMPS[created],
            "mdate": STAMPS[updated],
            "nextdate": STAMPS[updated] if now % 7 == 0 else None,
            "nexttaskid": (None, "0", str(now % 900))[now % 3],
            "value": str(now % 5_000_000),
            "currency": CURRENCIES[bits % 4],
            "winProbability": now % 100 if now % 4 == 0 else None,
            "winProbabilityMdate": STAMPS[updated] if now % 4 == 0 else None,
            "status": str(now % 3),
            "activitycount": str(now % 12),
            "nextdealid": str(deal.id),
            "edate": (None, ZERO_TIME, NAIVE[updated])[now % 3],
            "links": _LINKS.of(deal.id),
            "id": str(deal.id),
            "isDisabled": False,
            "account": account,
            "customerAccount": account,
        }
        if now % 7 == 0:
            row["nextTask"] = str(now % 900)
        return row


def _column_value(one: Field, bits: int) -> str | None:
    value = make_value(one, bits)
    if value and one.type == "date":
        return f"{value} 00:00:00"
    return naive_moment(bits) if value and one.type == "datetime" else value


def _snake_case_row(deal_id: int, value_id: int, one: Field, bits: int) -> Record:
    """Give the value in the column of its type; a few texts went into the one for long texts."""
    column = _COLUMNS.get(one.type, "custom_field_text_value")
    if one.type == "text" and bits % 50 == 1:
        column = "custom_field_text_blob"
    row: Record = {
        "deal_id": str(deal_id),
        "custom_field_id": str(one.id),
        "custom_field_text_value": None,
        "custom_field_text_blob": None,
        "custom_field_date_value": None,
        "custom_field_datetime_value": None,
        "custom_field_number_value": None,
        "custom_field_currency_value": None,
        "custom_field_currency_type": "USD" if one.type == "currency" else None,
        "created_timestamp": naive_moment(bits >> 9),
        "updated_timestamp": naive_moment(bits),
        "created_by": None,
        "updated_by": None,
        "links": _VALUE_LINKS.of(value_id),
        "id": str(value_id),
        "deal": str(deal_id),
        "dealCustomFieldMetum": str(one.id),
    }
    row[column] = _column_value(one, bits)
    return row


def _camel_case_row(deal_id: int, value_id: int, one: Field, bits: int) -> Record:
    return {
        "id": str(value_id),
        "dealCustomFieldMetumId": one.id,
        "dealId": deal_id,
        "customFieldId": one.id,
        "createdTimestamp": STAMPS[(bits >> 9) % 8192],
        "updatedTimestamp": STAMPS[bits % 8192],
        "fieldValue": _camel_case_value(one, bits),
        "links": _VALUE_LINKS.of(value_id),
    }


def _camel_case_value(one: Field, bits: int) -> Any:
    """Give choices as an array and cents as a number; all else is text."""
    value = make_value(one, bits)
    if not value or one.type not in ("multiselect", "checkbox", "currency"):
        return value
    return int(value) if one.type == "currency" else choose(one.choices, bits)
