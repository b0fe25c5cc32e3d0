"""Find the fields that the privacy rules name, and what follows for the records of a dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from acsync.datasets import DatasetName, Metadata
from acsync.enrich.privacy import Rules
from acsync.enrich.private_names import (
    custom_keys,
    find_named,
    hash_with,
    make_rules,
    read_definitions,
    unknown_field,
)
from acsync.errors import add_account
from acsync.private_fields import CUSTOM, STANDARD, PrivacySettings
from acsync.readings import Warnings
from acsync.settings import Settings
from acsync.store.database import Database, Transaction
from acsync.store.privacy import (
    PrivacyState,
    has_versions,
    read_known_keys,
    read_privacy,
    read_value_ids,
    require_rules,
    write_privacy,
)


@dataclass(frozen=True)
class Privacy:
    """The rules of a dataset, the state to store once they are published, and warnings.

    If it `accepts_all`, no custom field of this sync is new.
    """

    rules: Rules = field(default_factory=Rules)
    state: PrivacyState = field(default_factory=PrivacyState)
    warnings: Warnings = ()
    accepts_all: bool = False


def open_privacy(
    database: Database, settings: Settings, name: DatasetName, metadata: Metadata
) -> Privacy:
    """Return what applies to the records of a dataset.

    Raises UnknownField, and PrivacyDiffers if other rules came into force before the lease was
    taken.
    """
    require_rules(database, settings, [name])
    chosen, definitions = settings.privacy(name), read_definitions(name, metadata)
    with database.begin() as connection:
        state, known = read_privacy(connection, name), read_known_keys(connection, name)
        is_first = not has_versions(connection, name)
    ids, vanished, unknown = find_named(chosen, definitions, known, state.named)
    for key in unknown:
        raise unknown_field(chosen, key, definitions)
    known_ids = None if is_first else [*(field_id for field_id, _ in known), *state.accepted]
    rules = make_rules(chosen, ids, known_ids, hash_with(chosen.key))
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
        accepts_all=chosen.holds_new and is_first,
    )


def settle_privacy(connection: Transaction, name: DatasetName, privacy: Privacy) -> None:
    """Put the rules of a full sync in force, in the transaction that publishes it."""
    state = privacy.state
    if privacy.accepts_all:
        # A field without a definition is not new either if it has values now.
        state = replace(state, accepted=read_value_ids(connection, name))
    write_privacy(connection, name, state)


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
