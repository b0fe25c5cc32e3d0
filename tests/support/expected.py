"""Compute what a sync must store besides the records, without the code that syncs."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from acsync.datasets import DatasetName, Record
from acsync.simulator.account import Account
from acsync.simulator.activities import STAGE, STATUS
from acsync.simulator.expected import STATUSES


@dataclass(frozen=True)
class Privacy:
    """The fields that a copy leaves out and those that it hashes, such as `contacts.phone`.

    A custom field is named by its id: `contacts.customFields.12`.
    """

    left_out: frozenset[str] = frozenset()
    hashed: frozenset[str] = frozenset()
    key: str = ""

    def conceal(self, name: DatasetName, record: Record) -> Record:
        """Return a record as a copy with these rules has it."""
        concealed: Record = {}
        for key, value in record.items():
            field = f"{name}.{BELONGS_TO.get((name, key), key)}"
            if key == "customFields":
                concealed[key] = self._conceal_fields(name, value)
            elif field not in self.left_out:
                concealed[key] = self._hash(value) if field in self.hashed else value
        return concealed

    def _conceal_fields(self, name: DatasetName, fields: Record) -> Record:
        concealed: Record = {}
        for key, entry in fields.items():
            field = f"{name}.customFields.{entry['fieldId']}"
            if field in self.hashed:
                parts = {"value", "values"} & entry.keys()
                concealed[key] = entry | {part: self._hash(entry[part]) for part in parts}
            elif field not in self.left_out:
                concealed[key] = entry
        return concealed

    def _hash(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._hash(item) for item in value]
        if value is None or value == "":
            return value
        if isinstance(value, str) and "||" in value:
            return "||".join(self._hash(choice) for choice in value.split("||"))
        is_address = "@" in str(value) and len(str(value).split()) == 1
        text = str(value).lower() if is_address else str(value)
        return hmac.new(self.key.encode(), text.encode(), "sha256").hexdigest()


NOTHING_HIDDEN = Privacy()

# The field to which a key of a record belongs, if it is not of the same name.
BELONGS_TO: dict[tuple[DatasetName, str], str] = {
    ("contacts", "email_local"): "email",
    ("contacts", "email_domain"): "email",
    ("contacts", "hash"): "email",
    ("contacts", "contactTags"): "tags",
    ("contacts", "contactLists"): "lists",
    ("deals", "ownerData"): "owner",
}


# The columns id, deal_id, kind, was and became of an event, and its time as sent.
Event: TypeAlias = tuple[int, int, str, str, str, str]

DEAL_STATUSES = {"0": "open", "1": "won", "2": "lost"}


def expected_events(account: Account) -> list[Event]:
    """Return the changes of stage and status that a sync must store if it runs now."""
    return [
        (row.id, row.deal, "stage", row.was, row.became, row.at)
        if row.kind == STAGE
        else (row.id, row.deal, "status", DEAL_STATUSES[row.was], DEAL_STATUSES[row.became], row.at)
        for row in account.activities()
        if row.kind in (STAGE, STATUS)
    ]


# Stage, status, and the time of the event that began the stay, None for the creation of the deal.
Stay: TypeAlias = tuple[int, str, datetime | None]


def expected_stays(account: Account) -> dict[int, list[Stay]]:
    """Return the stays of each deal that has events, up to now. Each deal was created open."""
    events = expected_events(account)
    first = {deal: was for _, deal, kind, was, *_ in reversed(events) if kind == "stage"}
    stays: dict[int, list[Stay]] = {}
    for _, deal, kind, _, became, at in events:
        stage = first.get(deal) or account.record("deals", deal)[0].get("stage", "0")
        known = stays.setdefault(deal, [(int(stage), "open", None)])
        stage, status, entered_at = known[-1]
        time = datetime.fromisoformat(at)
        if time == entered_at:
            known.pop()
        known.append((int(became), status, time) if kind == "stage" else (stage, became, time))
    return stays


def expected_tags(account: Account, contact: int) -> list[tuple[int, str, datetime | None]]:
    """Return the id, name and date of each tag of a contact, as `ac_contact_tags` shows them."""
    related = account.related(contact)
    names = {tag["id"]: tag["tag"].replace("\0", "") for tag in related["tags"]}
    dates: dict[str, list[datetime]] = {tag: [] for tag in names}
    for row in related["contactTags"]:
        dates[row["tag"]] += [datetime.fromisoformat(row["cdate"])] if row["cdate"] else []
    return sorted((int(tag), names[tag], min(dates[tag], default=None)) for tag in names)


def expected_lists(account: Account, contact: int) -> list[tuple[Any, ...]]:
    """Return the memberships of a contact, as `ac_contact_lists` shows them."""
    related = account.related(contact)
    names = {listing["id"]: listing["name"] for listing in account.metadata.ever("lists")}
    return sorted(
        (
            int(row["list"]),
            names[row["list"]],
            STATUSES[int(row["status"])],
            *(row[key] and datetime.fromisoformat(row[key]) for key in ("sdate", "udate")),
            (row["unsubreason"] or "").replace("\0", "") or None,
        )
        for row in related["contactLists"]
    )
