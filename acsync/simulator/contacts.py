"""Invent contacts: the row of each id and version, and its custom field values."""

from acsync.models import Record
from acsync.simulator import texts
from acsync.simulator.chance import draw
from acsync.simulator.fields import contact_fields
from acsync.simulator.links import Links
from acsync.simulator.moments import NAIVE, STAMPS, ZERO_DATE, ZERO_TIME, created_and_updated
from acsync.simulator.options import AccountOptions
from acsync.simulator.population import Selected
from acsync.simulator.values import Slots, make_value

SALT = 11

_LINKS = Links(
    "contacts",
    (
        "bounceLogs", "contactAutomations", "contactData", "contactGoals", "contactLists",
        "contactLogs", "contactTags", "contactDeals", "deals", "fieldValues", "geoIps", "notes",
        "organization", "plusAppend", "trackingLogs", "scoreValues", "accountContacts",
        "automationEntryCounts",
    ),
)  # fmt: skip
_VALUE_LINKS = Links("fieldValues", ("owner", "field"))


class Contacts:
    """The contacts of one account, made from their ids whenever they are asked for."""

    def __init__(self, options: AccountOptions) -> None:
        self._seed = options.seed
        self._slots = Slots(contact_fields(options.contact_fields), options.values_per_record)

    def email(self, contact_id: int) -> str:
        """Give the address, by which `/contacts` is ordered; one in a hundred has none."""
        bits = draw(self._seed, SALT, contact_id)
        return f"{texts.WORDS[bits % 16]}.{contact_id}@mail.example" if bits % 100 else ""

    def render(self, contact: Selected, sideload: bool) -> tuple[Record, list[Record]]:
        """Give the row as served, and with `sideload` the value rows beside it."""
        bits = draw(self._seed, SALT, contact.id)
        row = self._row(contact, bits)
        if not sideload:
            return row, []
        values = self._values(contact, bits)
        row["fieldValues"] = [value["id"] for value in values]
        return row, values

    def _values(self, contact: Selected, bits: int) -> list[Record]:
        contact_id = str(contact.id)
        return [
            {
                "contact": contact_id,
                "field": str(field.id),
                "value": make_value(field, chance),
                "cdate": STAMPS[bits % 8192],
                "udate": STAMPS[chance % 8192],
                "created_by": None,
                "updated_by": "0" if chance & 1 else None,
                "links": _VALUE_LINKS.of(value_id),
                "id": str(value_id),
                "owner": contact_id,
            }
            for value_id, field, chance in self._slots.of(contact.id, bits, contact.version)
        ]

    def _row(self, contact: Selected, bits: int) -> Record:
        """Give the row; unset values are null, "", "0" or zero dates after an edit, as seen."""
        now = draw(bits, contact.version)
        created, updated = created_and_updated(bits, contact.version)
        edited = bool(now & 1)
        email = self.email(contact.id)
        organization = str(bits % 500) if bits % 5 == 0 else None
        return {
            "cdate": STAMPS[created],
            "email": email,
            "phone": texts.PHONES[now % len(texts.PHONES)],
            "firstName": texts.name(bits, texts.FIRST_NAMES),
            "lastName": texts.name(now, texts.LAST_NAMES),
            "orgid": organization or "0",
            "orgname": texts.COMPANIES[bits % 6] if organization else "",
            "segmentio_id": "",
            "bounced_hard": "0",
            "bounced_soft": str(now % 3),
            "bounced_date": ZERO_DATE if edited else None,
            "ip": str(bits % 2**32),
            "ua": "" if edited else None,
            "hash": f"{bits:016x}{now:016x}",
            "socialdata_lastcheck": ZERO_TIME if edited else None,
            "email_local": "",
            "email_domain": "mail.example" if email else "",
            "sentcnt": str(now % 40),
            "rating_tstamp": NAIVE[created][:10] if edited else None,
            "gravatar": str(bits & 1),
            "deleted": "0",
            "anonymized": "0",
            "adate": STAMPS[updated] if edited else None,
            "udate": STAMPS[updated],
            "edate": None,
            "deleted_at": ZERO_TIME if edited else None,
            "created_utc_timestamp": NAIVE[created],
            "updated_utc_timestamp": NAIVE[updated],
            "created_timestamp": NAIVE[created],
            "updated_timestamp": NAIVE[updated],
            "created_by": "0" if edited else None,
            "updated_by": None,
            "mpp_tracking": "0",
            "last_click_date": None,
            "last_open_date": STAMPS[updated] if now % 3 == 0 else None,
            "last_mpp_open_date": None,
            "best_send_hour": "0" if edited else None,
            "sms_consent": "0" if edited else None,
            "sms_consent_updated_at": ZERO_TIME if edited else None,
            "whatsapp_id": None,
            "whatsapp_username": None,
            "scoreValues": [],
            "accountContacts": [],
            "links": _LINKS.of(contact.id),
            "id": str(contact.id),
            "organization": organization,
        }
