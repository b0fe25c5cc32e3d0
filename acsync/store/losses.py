"""Count what publishing would take from records that stay, before anybody decides on it."""

from dataclasses import dataclass

from acsync.models import DatasetName, Sync
from acsync.store.database import Database
from acsync.store.sql import run
from acsync.store.staged_ids import STAGED_IDS, forbid_nested_loops

EXPLAINED = "jsonb_path_exists({record}, '$.customFields.*.fieldType ? (@ != null)')"
"""A record has a custom field whose definition is known: values can go, and definitions too."""

MASKED = "coalesce(lower({record} ->> 'isDisabled') in ('true', '1'), false)"


@dataclass(frozen=True)
class Loss:
    """So many of the published records that had something would have it no more."""

    lost: int
    had: int


def count_losses(database: Database, sync: Sync, name: DatasetName) -> tuple[Loss, Loss]:
    """Give the losses of custom fields, and of the sight of whole records.

    Only what was staged with a body can have lost anything. What the published ones had is
    counted only where something is lost, since it unpacks them all.
    """
    with database.begin() as connection:
        forbid_nested_loops(connection)
        lost = run(connection, LOST, name, sync_no=sync.number).one()
        had = run(connection, HAD, name).one() if any(lost) else lost
    return Loss(lost.fields, had.fields), Loss(lost.sight, had.sight)


def _has(expression: str, record: str) -> str:
    return expression.replace("{record}", record)


LOST = f"""
    with staged as materialized ({STAGED_IDS})
    select count(*) filter (
               where {_has(EXPLAINED, "version.record")} and not {_has(EXPLAINED, "body.record")}
           ) as fields,
           count(*) filter (
               where {_has(MASKED, "body.record")} and not {_has(MASKED, "version.record")}
           ) as sight
    from {{schema}}.ac_staged_records as body
    join staged using (slice_no, record_id)
    join {{versions}} as version using (record_id)
    where body.sync_no = :sync_no and body.data_type = :data_type and version.valid_to is null
"""

HAD = f"""
    select count(*) filter (where {_has(EXPLAINED, "record")}) as fields,
           count(*) filter (where not {_has(MASKED, "record")}) as sight
    from {{versions}}
    where valid_to is null
"""
