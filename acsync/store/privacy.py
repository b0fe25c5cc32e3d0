"""Keep the privacy rules that the copy meets, and what they have named."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.errors import PrivacyDiffers
from acsync.private_fields import PrivacySettings
from acsync.settings import Settings
from acsync.store.database import Database, run

READ = """
    select rules, key_id, named, hashed_with, held, accepted, returning_keys, returning_fields
    from {schema}.ac_privacy where data_type = :data_type
"""
READ_KNOWN = """
    select field_id, key from {schema}.ac_field_columns
    where data_type = :data_type order by position
"""
WRITE = """
    insert into {schema}.ac_privacy as known
        (data_type, rules, key_id, named, hashed_with, held, accepted, returning_keys,
         returning_fields)
    values (:data_type, cast(:rules as text[]), :key_id, cast(:named as jsonb),
            cast(:hashed_with as jsonb), cast(:held as jsonb), cast(:accepted as text[]),
            cast(:returning_keys as text[]), cast(:returning_fields as text[]))
    on conflict (data_type) do update set
        rules = excluded.rules, key_id = excluded.key_id, named = excluded.named,
        hashed_with = excluded.hashed_with, held = excluded.held, accepted = excluded.accepted,
        returning_keys = excluded.returning_keys, returning_fields = excluded.returning_fields,
        in_force_since = case
            when (known.rules, known.key_id) is distinct from (excluded.rules, excluded.key_id)
            then excluded.in_force_since else known.in_force_since end
"""


@dataclass(frozen=True)
class PrivacyState:
    """The rules that a dataset's copy meets; `key_id` tells the keys of hashes apart.

    `named` are the ids of custom fields that rules have named, by key. `hashed_with` has the
    `key_id` of each hashed field. `held` are the keys and titles of held fields, by id, and
    `accepted` the ids of those to copy. The next full sync reads the `returning` keys and fields
    again.
    """

    rules: tuple[str, ...] = ()
    key_id: str | None = None
    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hashed_with: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    returning_keys: tuple[str, ...] = ()
    returning_fields: tuple[str, ...] = ()

    @property
    def is_returning(self) -> bool:
        """Return whether a full sync has to read values again."""
        return bool(self.returning_keys or self.returning_fields)

    def differences(self, chosen: PrivacySettings) -> list[str]:
        """Return how the chosen rules differ from these, for people."""
        new, old = {*chosen.rules} - {*self.rules}, {*self.rules} - {*chosen.rules}
        kept_key = self.key_id and chosen.key_id and self.key_id != chosen.key_id
        return [
            *(f"new: {rule}" for rule in sorted(new)),
            *(f"removed: {rule}" for rule in sorted(old)),
            *([f"another ACSYNC_HASH_KEY for the {chosen.dataset}"] if kept_key else []),
        ]


def read_privacy(connection: Connection, name: DatasetName) -> PrivacyState:
    """Return the rules that a dataset's copy meets; none if there is no copy."""
    row = run(connection, READ, name).one_or_none()
    if row is None:
        return PrivacyState()
    held = {field_id: (key, title) for field_id, (key, title) in row.held.items()}
    lists = row.accepted, row.returning_keys, row.returning_fields
    return PrivacyState(
        tuple(row.rules), row.key_id, row.named, row.hashed_with, held, *map(tuple, lists)
    )


def write_privacy(connection: Connection, name: DatasetName, state: PrivacyState) -> None:
    """Put rules in force."""
    if state == read_privacy(connection, name):
        return
    values = {
        "named": json.dumps({**state.named}),
        "hashed_with": json.dumps({**state.hashed_with}),
        "held": json.dumps({**state.held}),
        "accepted": [*state.accepted],
        "returning_keys": [*state.returning_keys],
        "returning_fields": [*state.returning_fields],
    }
    run(connection, WRITE, name, rules=[*state.rules], key_id=state.key_id, **values)


def read_known_keys(connection: Connection, name: DatasetName) -> list[tuple[str, str]]:
    """Return the ids and keys of the custom fields that were ever copied."""
    return [(row.field_id, row.key) for row in run(connection, READ_KNOWN, name)]


def read_value_ids(connection: Connection, name: DatasetName) -> tuple[str, ...]:
    """Return the ids of all custom fields of which the copy has a value."""
    sql = """
        select distinct jsonb_object_keys(field_values) as field_id
        from {versions} where valid_to is null order by field_id
    """
    return tuple(run(connection, sql, name).scalars())


def has_versions(connection: Connection, name: DatasetName) -> bool:
    """Return whether anything of a dataset is kept."""
    return bool(run(connection, "select exists (select from {versions})", name).scalar_one())


def read_returning(database: Database) -> set[DatasetName]:
    """Return the datasets whose values a full sync has to read again."""
    with database.begin() as connection:
        return {name for name in DATASETS if read_privacy(connection, name).is_returning}


def require_rules(
    database: Database, settings: Settings, names: Iterable[DatasetName] = tuple(DATASETS)
) -> None:
    """Raise PrivacyDiffers unless what is kept meets the rules of the settings."""
    with database.begin() as connection:
        differences = [
            difference
            for name in names
            if has_versions(connection, name)
            for difference in read_privacy(connection, name).differences(settings.privacy(name))
        ]
    if differences:
        raise PrivacyDiffers(
            "The settings have other privacy rules than the copy was made with: "
            f"{'; '.join(differences)}. Nothing was read or changed.",
            "If these settings are right, run: acsync migrate --apply-privacy",
        )
