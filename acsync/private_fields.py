"""The fields that can be left out of the copy or stored as keyed hashes, and how they are named."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from acsync.datasets import DatasetName
from acsync.errors import find_nearest, plain_name

CUSTOM = "customFields"

# Shorter keys could be guessed.
LEAST_KEY_CHARACTERS = 16

# The keys of a record that hold the value of a field, by the name of the field. Ids, dates of a
# record, stages and the status are missing here, because syncs need them.
STANDARD: dict[DatasetName, dict[str, tuple[str, ...]]] = {
    "contacts": {
        # ActiveCampaign's hash identifies the address in the links of emails.
        "email": ("email", "email_local", "email_domain", "hash"),
        "organization": ("organization", "orgid", "orgname"),
        "tags": ("tags", "contactTags"),
        "lists": ("lists", "contactLists"),
        # It is not in the record, only in ac_contact_lists.reason.
        "unsubreason": ("unsubreason",),
        **{
            name: (name,)
            for name in (
                *("phone", "firstName", "lastName", "ip", "ua", "gravatar"),
                *("segmentio_id", "socialdata_lastcheck", "whatsapp_id", "whatsapp_username"),
                *("sms_consent", "sms_consent_updated_at", "bounced_date", "bounced_hard"),
                *("bounced_soft", "sentcnt", "last_open_date", "last_click_date"),
                *("last_mpp_open_date", "best_send_hour", "rating_tstamp", "scoreValues"),
                *("accountContacts", "created_by", "updated_by", "anonymized", "mpp_tracking"),
            )
        },
    },
    "deals": {
        "owner": ("owner", "ownerData"),
        "account": ("account", "customerAccount", "organization"),
        "winProbability": ("winProbability", "winProbabilityMdate"),
        "nextdate": ("nextdate", "nexttaskid", "nextTask"),
        **{
            name: (name,)
            for name in (
                *("title", "description", "value", "currency", "percent", "hash"),
                *("activitycount", "nextdealid"),
            )
        },
    },
}

# Their rows have ids that say as much as the names.
NOT_HASHABLE = frozenset(("contacts.tags", "contacts.lists", "deals.owner"))


STANDARD_NAMES = {
    plain_name(f"{dataset}.{name}"): f"{dataset}.{name}"
    for dataset, names in STANDARD.items()
    for name in names
}
CUSTOM_NAMES = {plain_name(f"{dataset}.{CUSTOM}"): f"{dataset}.{CUSTOM}" for dataset in STANDARD}


def parse_field_names(value: str | Iterable[str]) -> tuple[str, ...]:
    """Read a list of fields such as `contacts.phone,contacts.customFields.SSN`."""
    names = value.split(",") if isinstance(value, str) else value
    return tuple(sorted({parse_field_name(name.strip()) for name in names if name.strip()}))


def parse_field_name(name: str) -> str:
    """Return a field's name as acsync writes it; the name of a custom field is not checked."""
    dataset, _, rest = name.partition(".")
    group, _, key = rest.partition(".")
    custom = CUSTOM_NAMES.get(plain_name(f"{dataset}.{group}"))
    if custom and key.strip():
        return f"{custom}.{key.strip()}"
    if standard := STANDARD_NAMES.get(plain_name(name)):
        return standard
    examples = (*STANDARD_NAMES.values(), *(f"{custom}.KEY" for custom in CUSTOM_NAMES.values()))
    nearest = find_nearest(name, examples) or "contacts.phone"
    raise ValueError(f"names {name!r}, which is no such field: did you mean {nearest}?")


@dataclass(frozen=True)
class PrivacySettings:
    """The fields of one dataset to leave out and to hash, by their names without the dataset.

    If `holds_new`, custom fields that are new in ActiveCampaign are left out too.
    """

    dataset: DatasetName
    left_out: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    key: bytes = field(default=b"", repr=False)
    holds_new: bool = False

    @classmethod
    def from_rules(cls, dataset: DatasetName, rules: Iterable[str]) -> "PrivacySettings":
        """Return the settings that have these `rules`, without the key."""
        names: dict[str, list[str]] = {"exclude": [], "hash": [], "hold": []}
        for rule in rules:
            verb, _, name = rule.partition(" ")
            names[verb].append(name.removeprefix(f"{dataset}."))
        left_out, hashed, held = map(tuple, names.values())
        return cls(dataset, left_out, hashed, holds_new=bool(held))

    @property
    def rules(self) -> tuple[str, ...]:
        """Return the rules for people, sorted, such as `exclude contacts.phone`."""
        rules = [f"exclude {self.dataset}.{name}" for name in self.left_out]
        rules += [f"hash {self.dataset}.{name}" for name in self.hashed]
        rules += [f"hold new custom fields of {self.dataset}"] if self.holds_new else []
        return tuple(sorted(rules))

    @property
    def key_id(self) -> str | None:
        """Return a short text that tells keys apart and does not reveal them."""
        if not self.hashed:
            return None
        return hmac.digest(self.key, b"acsync: id of this key", "sha256").hex()[:8]
