"""Read what is known of one record: the copy, its changes, its stages, and when it was deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from acsync.datasets import DatasetName, Record, parse_record
from acsync.store.database import Database, run
from acsync.store.forgotten import read_forgotten

READ_COPY = """
    select (
        select record::text from {versions} where valid_to is null and record_id = :record_id
    ) as body, (
        select {relations} from {versions} where valid_to is null and record_id = :record_id
    ) as relations, (
        select deleted_at from {schema}.ac_deleted
        where data_type = :data_type and record_id = :record_id
    ) as deleted_at
"""

READ_CHANGES = """
    select changed_at, sync_id, change from {schema}.ac_changes
    where data_type = :data_type and record_id = :record_id order by changed_at desc
"""

READ_FIELD_CHANGES = """
    select changed_at, sync_id, field, was, became from {schema}.ac_field_changes
    where data_type = :data_type and record_id = :record_id order by changed_at desc, field
"""

READ_STAYS = """
    select entered_at, left_at, left_because, pipeline, stage, status, is_baseline
    from {schema}.ac_deal_stages where deal_id = :record_id order by entered_at desc
"""


@dataclass(frozen=True)
class Change:
    """A sync that added, updated or deleted the record."""

    changed_at: datetime
    sync_id: str
    change: str


@dataclass(frozen=True)
class FieldChange:
    """A field that a sync found changed."""

    changed_at: datetime
    sync_id: str
    field: str
    was: str | None
    became: str | None


@dataclass(frozen=True)
class Stay:
    """A stay of a deal in a stage and status; a baseline began before the copy."""

    entered_at: datetime
    left_at: datetime | None
    left_because: str | None
    pipeline: str | None
    stage: str | None
    status: str | None
    is_baseline: bool


@dataclass(frozen=True)
class RecordHistory:
    """All that is known of a record, the newest first; `record` is None if it is not published.

    `relations` are the published tags and memberships of a contact. No sync copies a contact that
    `is_forgotten`.
    """

    record: Record | None
    relations: Record | None
    deleted_at: datetime | None
    changes: Sequence[Change]
    fields: Sequence[FieldChange]
    stays: Sequence[Stay]
    is_forgotten: bool = False

    @property
    def is_known(self) -> bool:
        """Return whether a sync has seen the record, or left it out."""
        seen = self.record or self.deleted_at or self.changes or self.stays
        return bool(seen) or self.is_forgotten


def read_history(database: Database, name: DatasetName, record_id: int) -> RecordHistory:
    """Return what the database knows of a record, which may be nothing."""
    with database.begin() as connection:
        copy = run(connection, READ_COPY, name, record_id=record_id).one()
        changes, fields = (
            run(connection, sql, name, record_id=record_id).all()
            for sql in (READ_CHANGES, READ_FIELD_CHANGES)
        )
        stays = run(connection, READ_STAYS, record_id=record_id).all() if name == "deals" else []
        is_contact = name == "contacts"
        is_forgotten = is_contact and bool(read_forgotten(connection).find("contact", record_id))
    return RecordHistory(
        None if copy.body is None else parse_record(copy.body),
        None if copy.relations is None else parse_record(copy.relations),
        copy.deleted_at,
        [Change(*row) for row in changes],
        [FieldChange(*row) for row in fields],
        [Stay(*row) for row in stays],
        is_forgotten,
    )
