"""Put the privacy rules of the settings in force for everything that is kept, history included."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from acsync.datasets import DATASETS, FIELDS, DatasetName, DimensionName, Record
from acsync.enrich.encoding import encode
from acsync.enrich.privacy import Replace, Rules, make_repeated_hash
from acsync.enrich.private_names import (
    EMAIL,
    Definition,
    HashOf,
    find_named,
    hash_with,
    make_rules,
    read_definitions,
)
from acsync.errors import UsageError
from acsync.private_fields import CUSTOM, PrivacySettings
from acsync.settings import Settings
from acsync.store.database import Database, Transaction
from acsync.store.dimensions import read_dimension
from acsync.store.privacy import (
    PrivacyState,
    has_versions,
    read_known_keys,
    read_privacy,
    read_value_ids,
    write_privacy,
)
from acsync.store.staging_tables import truncate_all
from acsync.store.version_rewrite import (
    Version,
    finish_rewrite,
    read_versions,
    rewrite_versions,
    rewriting,
)
from acsync.sync.privacy import held_name, next_state

# The listings whose rows no dataset needs without these fields.
UNNEEDED: dict[str, DimensionName] = {
    "contacts.tags": "tags",
    "contacts.lists": "lists",
    "deals.owner": "users",
}


@dataclass(frozen=True)
class Applied:
    """What putting rules in force did to a dataset.

    `changed` of the `versions` were rewritten. `unknown` are the names of custom fields that the
    copy does not have. If values are `returning`, the next full sync reads them.
    """

    rules: tuple[str, ...]
    versions: int = 0
    changed: int = 0
    unknown: tuple[str, ...] = ()
    returning: bool = False


def apply_privacy(database: Database, settings: Settings) -> dict[DatasetName, Applied]:
    """Rewrite what is kept so that it meets the rules; return what was done, by dataset.

    Datasets that meet the rules already are left out of the result. It is one transaction: readers
    see the old data until it is committed. Raises LeaseHeld while a sync runs.
    """
    definitions = {name: _read_known_definitions(database, name) for name in DATASETS}
    with rewriting(database) as connection:
        return {
            name: _apply(connection, settings.privacy(name), definitions[name])
            for name in DATASETS
            if read_privacy(connection, name).differences(settings.privacy(name))
        }


def _read_known_definitions(database: Database, name: DatasetName) -> Sequence[Definition]:
    listing = FIELDS[name]
    return read_definitions(name, {listing: read_dimension(database, listing).rows})


def _apply(
    connection: Transaction, chosen: PrivacySettings, definitions: Sequence[Definition]
) -> Applied:
    name, state = chosen.dataset, read_privacy(connection, chosen.dataset)
    known = read_known_keys(connection, name)
    ids, _, unknown = find_named(chosen, definitions, known, state.named)
    in_force = PrivacySettings.from_rules(name, state.rules)
    state = _add_returning(in_force, chosen, ids, state)
    if chosen.holds_new and not in_force.holds_new:
        accepted = {*state.accepted, *read_value_ids(connection, name)}
        state = replace(state, accepted=tuple(sorted(accepted)))
    known_ids = [*(field_id for field_id, _ in known), *state.accepted]
    is_empty = not has_versions(connection, name)
    rules = make_rules(chosen, ids, None if is_empty else known_ids, _hash_again(chosen, state))
    versions = changed = 0
    for batch in read_versions(connection, name):
        rewritten = [
            (version, record)
            for version in batch
            if (record := encode(*_conceal(rules, version))).hash != version.hash
        ]
        if rewritten:
            # Deleted rows would slow down each later batch.
            truncate_all(connection, name)
            rewrite_versions(connection, name, rewritten)
        versions, changed = versions + len(batch), changed + len(rewritten)
    unneeded = [
        dimension for field, dimension in UNNEEDED.items() if f"exclude {field}" in chosen.rules
    ]
    retired = [field_id for field_id, _ in known if not rules.keeps(field_id)]
    finish_rewrite(connection, name, unneeded, retired)
    after = replace(
        next_state(chosen, ids, state, state.held if chosen.holds_new else {}),
        returning_keys=state.returning_keys,
        returning_fields=state.returning_fields,
    )
    write_privacy(connection, name, after)
    names = tuple(f"{name}.{CUSTOM}.{key}" for key in unknown)
    return Applied(chosen.rules, versions, changed, names, after.is_returning)


def _conceal(rules: Rules, version: Version) -> tuple[Record, Record]:
    return rules.apply(version.record), rules.apply_to_relations(version.relations)


def _hash_again(chosen: PrivacySettings, state: PrivacyState) -> HashOf:
    """Return how to hash each field again if some of its values may be hashes already."""

    def hash_of(field: str) -> Replace:
        hashed_with = state.hashed_with.get(field)
        if hashed_with is None:
            return hash_with(chosen.key)(field)
        is_email, is_same_key = field == EMAIL, hashed_with == chosen.key_id
        return make_repeated_hash(chosen.key, is_email=is_email, is_same_key=is_same_key)

    return hash_of


def _add_returning(
    in_force: PrivacySettings,
    chosen: PrivacySettings,
    ids: Mapping[str, Sequence[str]],
    state: PrivacyState,
) -> PrivacyState:
    """Note what the copy lacks or has as a hash, and the next full sync reads again.

    Fields that a removed rule had left out are no new ones.
    """
    before = make_rules(in_force, state.named, None, hash_with(b""))
    after = make_rules(chosen, ids, None, hash_with(b""))
    is_same_key = state.key_id == chosen.key_id

    def returning(
        left_out: tuple[Collection[str], Collection[str]],
        hashed: tuple[Collection[str], Collection[str]],
        earlier: Collection[str],
    ) -> tuple[str, ...]:
        still_hashed = {*hashed[0]} & {*hashed[1]} if is_same_key else set()
        lacking = {*left_out[0], *hashed[0]} - still_hashed
        return tuple(sorted((lacking | {*earlier}) - {*left_out[1]}))

    fields_left_out = before.fields_left_out, after.fields_left_out
    held = () if chosen.holds_new else state.held
    return replace(
        state,
        accepted=tuple(sorted({*state.accepted} | (fields_left_out[0] - fields_left_out[1]))),
        returning_keys=returning(
            (before.left_out, after.left_out), (before.hashed, after.hashed), state.returning_keys
        ),
        returning_fields=returning(
            fields_left_out,
            (before.fields_hashed, after.fields_hashed),
            (*state.returning_fields, *held),
        ),
    )


def accept_fields(database: Database, names: Sequence[str]) -> None:
    """Let the next full sync copy these held custom fields.

    Raises UsageError if one of them is not held, and LeaseHeld while a sync runs.
    """
    with rewriting(database) as connection:
        states = {name: read_privacy(connection, name) for name in DATASETS}
        accepted = [_find_held(states, field) for field in names]
        for name, state in states.items():
            ids = [field_id for dataset, field_id in accepted if dataset == name]
            held = {key: value for key, value in state.held.items() if key not in ids}
            after = replace(
                state,
                held=held,
                accepted=tuple(sorted({*state.accepted, *ids})),
                returning_fields=tuple(sorted({*state.returning_fields, *ids})),
            )
            write_privacy(connection, name, after)


def _find_held(states: Mapping[DatasetName, PrivacyState], field: str) -> tuple[DatasetName, str]:
    """Return the dataset and the id of a held field."""
    for name, state in states.items():
        for field_id, (key, _) in state.held.items():
            if field in (f"{name}.{CUSTOM}.{key}", f"{name}.{CUSTOM}.{field_id}"):
                return name, field_id
    held = [
        held_name(name, field_id, key)
        for name, state in states.items()
        for field_id, (key, _) in state.held.items()
    ]
    raise UsageError(
        f"{field} is not held back. Held back are: {', '.join(held) or 'no fields'}.",
        "Name one of them, or run acsync status after the next full sync.",
    )
