"""Leave staged records out of an incremental sync that would lose all of a part."""

from acsync.datasets import DatasetName
from acsync.results import Sync
from acsync.store.database import Database, run
from acsync.store.lease import require_lease
from acsync.store.losses import loses

HAS_VALUES = "jsonb_path_exists({row}.record, '$.customFields.*')"

# Null if tags or lists were not requested: that is no loss.
PARTS: dict[DatasetName, tuple[str, ...]] = {
    "contacts": (HAS_VALUES, "{row}.tags <> '{}'", "{row}.lists <> '[]'"),
    "deals": (HAS_VALUES,),
}

READ_EMPTIED = """
    select distinct record_id
    from {bodies} as body join {versions} as version using (record_id)
    where body.sync_no = :sync_no and version.valid_to is null and ({losses})
"""

DROP_BODIES = "delete from {bodies} where sync_no = :sync_no and record_id = any(:ids)"

# A full sync that resumes takes over these ids as read.
DROP_IDS = """
    update {schema}.ac_staged_slices as slice
    set record_ids = coalesce(kept.record_ids, '{}'),
        read_before_ms = coalesce(kept.read_before_ms, '{}')
    from (
        select slice_no, array_agg(record_id order by place) as record_ids,
               array_agg(before_ms order by place) as read_before_ms
        from {schema}.ac_staged_slices left join lateral
            unnest(record_ids, read_before_ms) with ordinality as staged
                (record_id, before_ms, place) on record_id <> all (:ids)
        where sync_no = :sync_no and data_type = :data_type
        group by slice_no
    ) as kept
    where sync_no = :sync_no and data_type = :data_type and slice.slice_no = kept.slice_no
"""


def leave_out_emptied(database: Database, sync: Sync, name: DatasetName) -> list[int]:
    """Drop the staged records that lose all of a part that their published versions have.

    A key that lost a permission reads such records. Returns their ids.
    """
    sql = READ_EMPTIED.replace("{losses}", " or ".join(map(loses, PARTS[name])))
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        ids = list(run(connection, sql, name, sync_no=sync.number).scalars())
        for drop in (DROP_BODIES, DROP_IDS) if ids else ():
            run(connection, drop, name, sync_no=sync.number, ids=ids)
    return ids
