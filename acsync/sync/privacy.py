"""Find the fields that the privacy rules name, and what follows for the records of a dataset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from acsync.datasets import DatasetName, Metadata
from acsync.enrich.privacy import Replace, Rules, make_hash
from acsync.errors import UnknownField, add_account
from acsync.models import Warnings
from acsync.private_fields import CUSTOM, STANDARD, PrivacySettings, find_nearest
from acsync.settings import Settings
from acsync.store.database import Database
from acsync.store.privacy import PrivacyState, has_versions, read_known_keys, read_privacy

# Its values are addresses or parts of them, which are hashed in lower case.
EMAIL = "email"

# Returns the hash of a field, by its name: a standard one, or `customFields.ID`.
HashOf: TypeAlias = Callable[[str], Replace]


class Definition(NamedTuple):
    """A custom field as the account defines it."""

    field_id: str
    key: str
    title: str


@dataclass(frozen=True)
class Privacy:
    """The rules of a dataset, the state to store once they are published, and warnings."""

    rules: Rules = field(default_factory=Rules)
    state: PrivacyState = field(default_factory=PrivacyState)
    warnings: Warnings = ()


def open_privacy(
    database: Database, settings: Settings, name: DatasetName, metadata: Metadata
) -> Privacy:
    """Return what applies to the records of a dataset; raises UnknownField."""
    chosen, definitions = settings.privacy(name), read_definitions(name, metadata)
    with database.begin() as connection:
        state, known = read_privacy(connection, name), read_known_keys(connection, name)
        is_first = not has_versions(connection, name)
    ids, vanished, unknown = find_named(chosen, definitions, known, state)
    for key in unknown:
        raise unknown_field(chosen, key, definitions)
    known_ids = None if is_first else [field_id for field_id, _ in known]
    rules = make_rules(chosen, ids, known_ids, state, hash_with(chosen.key))
    held = {
        field_id: (key, title)
        for field_id, key, title in definitions
        if not (rules.keeps(field_id) or field_id in rules.fields_left_out)
    }
    returning = Rules(
        frozenset(state.returning_keys), fields_left_out=frozenset(state.returning_fields)
    )
    return Privacy(
        replace(rules, returning=returning if state.is_returning else None),
        next_state(chosen, ids, state, held),
        (*_warn_of_vanished(name, vanished), *_warn_of_held(name, held)),
    )


def read_definitions(name: DatasetName, metadata: Metadata) -> Sequence[Definition]:
    """Return the custom fields of a dataset with the keys that their values have in records."""
    # Importing pandas takes a second.
    from acsync.enrich.custom_fields import name_fields  # noqa: PLC0415
    from acsync.enrich.enricher import DEFINITIONS  # noqa: PLC0415

    listing, key, title, _ = DEFINITIONS[name]
    rows = {str(row["id"]): row for row in metadata[listing]}
    return [
        Definition(field_id, field_key, str(rows[field_id].get(title) or ""))
        for field_id, field_key in name_fields(metadata[listing], key).items()
    ]


def custom_keys(names: Sequence[str]) -> list[str]:
    """Return the keys or ids of the custom fields among these names."""
    return [name.partition(".")[2] for name in names if name.startswith(f"{CUSTOM}.")]


def find_named(
    chosen: PrivacySettings,
    definitions: Sequence[Definition],
    known: Sequence[tuple[str, str]],
    state: PrivacyState,
) -> tuple[dict[str, list[str]], list[str], list[str]]:
    """Return the ids of the custom fields that rules name, the vanished keys and the unknown ones.

    A field that was known by a key stays named if it gets another one.
    """
    ids, vanished, unknown = dict[str, list[str]](), list[str](), list[str]()
    for key in custom_keys((*chosen.left_out, *chosen.hashed)):
        listed = {each.field_id for each in definitions if _is_named(key, each)}
        earlier = {field_id for field_id, known_key in known if key in (field_id, known_key)}
        earlier |= {*state.named.get(key, ())}
        if not listed:
            (vanished if earlier else unknown).append(key)
        ids[key] = sorted(listed | earlier)
    return ids, vanished, unknown


def _is_named(key: str, definition: Definition) -> bool:
    return key in (definition.field_id, definition.key, definition.key.strip())


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
    known_ids: Sequence[str] | None,
    state: PrivacyState,
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
        allowed = frozenset((*known_ids, *state.accepted, *fields_hashed))
    return Rules(frozenset(left_out), hashed, frozenset(fields_left_out), fields_hashed, allowed)


def next_state(
    chosen: PrivacySettings,
    ids: Mapping[str, Sequence[str]],
    state: PrivacyState,
    held: Mapping[str, tuple[str, str]],
) -> PrivacyState:
    """Return the state in which everything meets the rules."""
    hashed_with = dict.fromkeys(hashed_names(chosen, ids), chosen.key_id or "")
    return PrivacyState(
        chosen.rules,
        chosen.key_id,
        {**state.named, **ids},
        {**state.hashed_with, **hashed_with},
        held,
        state.accepted,
    )


def hashed_names(chosen: PrivacySettings, ids: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the hashed fields: standard ones by their names, others as `customFields.ID`."""
    keys = custom_keys(chosen.hashed)
    standard = [name for name in chosen.hashed if name in STANDARD[chosen.dataset]]
    return [*standard, *(f"{CUSTOM}.{field_id}" for key in keys for field_id in ids.get(key, ()))]


def _warn_of_vanished(name: DatasetName, keys: Sequence[str]) -> Warnings:
    return tuple(
        f"a privacy rule names {name}.{CUSTOM}.{key}, which the account no longer has; values of "
        "that field stay left out or hashed"
        for key in keys
    )


def _warn_of_held(name: DatasetName, held: Mapping[str, tuple[str, str]]) -> Warnings:
    """Name the held fields, and the command that lets them in."""
    if not held:
        return ()
    names = [held_name(name, field_id, key) for field_id, (key, _) in held.items()]
    command = add_account(f"acsync migrate --accept-fields '{','.join(names)}'")
    return (
        f"{len(names)} new custom fields of {name} are held back, because ACSYNC_NEW_FIELDS is "
        f"hold. To copy them, run: {command}",
    )


def held_name(name: DatasetName, field_id: str, key: str) -> str:
    """Return the name of a held field, by its id if the key could not be written in a list."""
    is_plain = not {*key} & {*",'\" "}
    return f"{name}.{CUSTOM}.{key if is_plain else field_id}"
