"""Rewrite everything that is kept of a dataset: versions, wide rows, and names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from acsync.datasets import DatasetName, DimensionName, Record, parse_record
from acsync.readings import EnrichedRecord
from acsync.store.database import BODIES, Database, run, schema_of
from acsync.store.lease import take_from_frozen_sync
from acsync.store.publish import COLUMNS
from acsync.store.staging_tables import copy_bodies, truncate_all
from acsync.store.stored_rows import rewrite_rows

# Versions that are in memory at once.
BATCH = 1_000

READ = """
    select record_id, valid_from, hash, record::text as body, {relations} as relations
    from {versions} where (record_id, valid_from) > (:record_id, :valid_from)
    order by record_id, valid_from limit :most
"""

# The staging table computes the columns of a version. No sync has a negative number.
UPDATE = """
    update {versions} as version set {assignments} from {bodies} as body
    where version.record_id = body.record_id and version.valid_from = -body.sync_no
"""

# The views show a field's column as long as it exists, but no sync fills it.
RETIRE_FIELDS = """
    update {schema}.ac_field_columns as field set last_sync = coalesce(
        (select sync_id from {schema}.ac_published as published
         where published.data_type = :data_type order by sync_no desc limit 1), first_sync)
    where data_type = :data_type and last_sync is null and field_id = any(:field_ids)
"""

# The row gets the newest transaction.
TOUCH_PUBLICATION = """
    update {schema}.ac_published set sync_id = sync_id
    where data_type = :data_type and sync_no = (
        select max(sync_no) from {schema}.ac_published where data_type = :data_type
    )
"""


@dataclass(frozen=True)
class Version:
    """One version of a record; `relations` are the tags and memberships of a contact."""

    record_id: int
    valid_from: int
    hash: bytes
    record: Record
    relations: Record


@contextmanager
def rewriting(database: Database) -> Iterator[Connection]:
    """Open a transaction in which no sync can start; raise LeaseHeld while one runs.

    A sync that froze loses its lease, so it publishes nothing by its old rules.
    """
    with database.begin() as connection:
        take_from_frozen_sync(connection)
        run(connection, "set local statement_timeout = 0")
        yield connection


def read_versions(connection: Connection, name: DatasetName) -> Iterator[list[Version]]:
    """Yield all versions of a dataset, a batch at a time."""
    last = {"record_id": -1, "valid_from": -1}
    while rows := run(connection, READ, name, **last, most=BATCH).all():
        yield [
            Version(
                row.record_id,
                row.valid_from,
                bytes(row.hash),
                parse_record(row.body),
                parse_record(row.relations) if row.relations else {},
            )
            for row in rows
        ]
        last = {"record_id": rows[-1].record_id, "valid_from": rows[-1].valid_from}


def rewrite_versions(
    connection: Connection, name: DatasetName, versions: Sequence[tuple[Version, EnrichedRecord]]
) -> None:
    """Replace the records of versions."""
    copy_bodies(
        connection, name, ((-version.valid_from, 0, False, record) for version, record in versions)
    )
    bodies = f"{schema_of(connection)}.{BODIES[name]}"
    _, assignments = run(connection, COLUMNS, bodies=bodies).one()
    run(connection, UPDATE.replace("{assignments}", assignments), name)
    run(connection, "delete from {bodies} where sync_no < 0", name)


def touch_publication(connection: Connection, name: DatasetName) -> None:
    """Keep `acsync verify` from taking rewritten versions for rows that somebody edited."""
    run(connection, TOUCH_PUBLICATION, name)


def finish_rewrite(
    connection: Connection,
    name: DatasetName,
    dimensions: Sequence[DimensionName],
    field_ids: Sequence[str],
) -> None:
    """Write the stored rows again, and forget these dimensions and fields."""
    truncate_all(connection, name)
    run(connection, RETIRE_FIELDS, name, field_ids=[*field_ids])
    run(
        connection,
        "delete from {schema}.ac_dimensions where dimension = any(:dimensions)",
        dimensions=[*dimensions],
    )
    rewrite_rows(connection, name)
    touch_publication(connection, name)
