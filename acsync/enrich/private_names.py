"""Find the custom fields that privacy rules name, and make the rules for their ids."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from acsync.datasets import FIELDS, DatasetName, Metadata
from acsync.enrich.privacy import Replace, Rules, make_hash
from acsync.errors import UnknownField, find_nearest
from acsync.private_fields import CUSTOM, STANDARD, PrivacySettings

# Its values are addresses or parts of them, which are hashed in lower case.
EMAIL = "email"

# Returns the hash of a field, by its name: a standard one, or `customFields.ID`.
HashOf: TypeAlias = Callable[[str], Replace]


class Definition(NamedTuple):
    """A custom field as the account defines it."""

    field_id: str
    key: str
    title: str


def read_definitions(name: DatasetName, metadata: Metadata) -> Sequence[Definition]:
    """Return the custom fields of a dataset with the keys that their values have in records."""
    # Importing pandas takes a second.
    from acsync.enrich.custom_fields import DEFINITION_KEYS, name_fields  # noqa: PLC0415

    key, title, _ = DEFINITION_KEYS[name]
    listing = metadata[FIELDS[name]]
    rows = {str(row["id"]): row for row in listing}
    return [
        Definition(field_id, field_key, str(rows[field_id].get(title) or ""))
        for field_id, field_key in name_fields(listing, key).items()
    ]


def custom_keys(names: Sequence[str]) -> list[str]:
    """Return the keys or ids of the custom fields among these names."""
    return [name.partition(".")[2] for name in names if name.startswith(f"{CUSTOM}.")]


def find_named(
    chosen: PrivacySettings,
    definitions: Sequence[Definition],
    known: Iterable[tuple[str, str]],
    named: Mapping[str, Sequence[str]],
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Return the ids of the custom fields that rules name, the vanished keys and the unknown ones.

    `known` are the ids and keys of all fields that were ever copied, and `named` the ids that the
    keys have named so far: a field stays named if it gets another key.
    """
    ids, vanished, unknown = dict[str, list[str]](), list[str](), list[str]()
    for key in custom_keys((*chosen.left_out, *chosen.hashed)):
        listed = {
            field_id
            for field_id, field_key, _ in definitions
            if key in (field_id, field_key, field_key.strip())
        }
        earlier = {field_id for field_id, known_key in known if key in (field_id, known_key)}
        earlier |= {*named.get(key, ())}
        if not listed:
            (vanished if earlier else unknown).append(key)
        ids[key] = sorted(listed | earlier)
    return ids, vanished, unknown


def unknown_field(
    chosen: PrivacySettings, key: str, definitions: Sequence[Definition]
) -> UnknownField:
    """Return the error for a key that no custom field ever had."""
    variable = "ACSYNC_EXCLUDE" if f"{CUSTOM}.{key}" in chosen.left_out else "ACSYNC_HASH"
    prefix = f"{chosen.dataset}.{CUSTOM}"
    nearest = find_nearest(key, [definition.key for definition in definitions])
    hint = f"Did you mean {prefix}.{nearest}? " if nearest else ""
    return UnknownField(
        f"{variable} names {prefix}.{key}, which the account does not have. No {chosen.dataset} "
        "were read.",
        f"{hint}Write the key of the field as ActiveCampaign has it, or its id.",
    )


def hash_with(key: bytes) -> HashOf:
    """Return the hashes of this key."""
    return lambda field: make_hash(key, is_email=field == EMAIL)


def make_rules(
    chosen: PrivacySettings,
    ids: Mapping[str, Sequence[str]],
    known_ids: Iterable[str] | None,
    hash_of: HashOf,
) -> Rules:
    """Return the rules for records. If `known_ids` is None, no custom field is new."""
    standard = STANDARD[chosen.dataset]
    left_out = {key for name in chosen.left_out for key in standard.get(name, ())}
    hashed = {
        key: hash_of(name)
        for name in chosen.hashed
        for key in standard.get(name, ())
        if key not in left_out
    }
    fields_left_out = {
        field_id for key in custom_keys(chosen.left_out) for field_id in ids.get(key, ())
    }
    fields_hashed = {
        field_id: hash_of(f"{CUSTOM}.{field_id}")
        for key in custom_keys(chosen.hashed)
        for field_id in ids.get(key, ())
    }
    allowed = None
    if chosen.holds_new and known_ids is not None:
        allowed = frozenset((*known_ids, *fields_hashed))
    return Rules(frozenset(left_out), hashed, frozenset(fields_left_out), fields_hashed, allowed)
