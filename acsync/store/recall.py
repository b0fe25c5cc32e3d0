"""Count the changes that a full sync found, and that incremental syncs should have seen."""

from datetime import timedelta

from sqlalchemy import Connection

from acsync.datasets import DatasetName
from acsync.results import Recall, Sync
from acsync.store.database import run

# The last full sync before this one, and the last incremental sync in between.
BETWEEN = """
    select max(sync_no) filter (where kind = 'full') as full_no,
           (array_agg(server_time order by sync_no desc) filter (where kind = 'incremental'))[1]
               as last_read,
           max(sync_no) filter (where kind = 'incremental') as last_no
    from {schema}.ac_published where data_type = :data_type and sync_no < :sync_no
"""

COUNT_SEEN = """
    select count(*) from {versions} where valid_from > :full_no and valid_from < :sync_no
"""

# The part that changed if the date of a record did not move: the first one that differs.
PARTS: dict[DatasetName, str] = {
    "contacts": """
        when version.tags is distinct from earlier.tags then 'tags'
        when version.field_values is distinct from earlier.field_values then 'custom fields'
        when version.lists is distinct from earlier.lists then 'lists'
    """,
    "deals": """
        when version.field_values is distinct from earlier.field_values then 'custom fields'
    """,
}

# A change whose date moved is due at the incremental sync that reads past it. A change that moved
# no date is never seen, so it always counts.
COUNT_MISSED = """
    select kind, count(*) as records
    from (
        select version.updated_at, case
            when earlier.record_id is null then 'new'
            when version.updated_at is distinct from earlier.updated_at then 'dated'
            {parts}
            else 'other'
        end as kind
        from {versions} as version left join {versions} as earlier
            on earlier.record_id = version.record_id and earlier.valid_to = version.valid_from
        where version.valid_from = :sync_no
    ) as changes
    where kind not in ('new', 'dated') or updated_at < :due
    group by kind
"""


def count_recall(
    connection: Connection, sync: Sync, name: DatasetName, overlap: timedelta
) -> Recall | None:
    """Return what incremental syncs saw and missed since the last full sync, None without any.

    Call it after publishing, in the same transaction. The next incremental sync would have read
    the changes of the last `overlap` again.
    """
    between = run(connection, BETWEEN, name, sync_no=sync.number).one()
    if between.last_no is None or between.full_no is None or between.last_no < between.full_no:
        return None
    values = {"full_no": between.full_no, "sync_no": sync.number}
    seen = run(connection, COUNT_SEEN, name, **values).scalar_one()
    sql = COUNT_MISSED.replace("{parts}", PARTS[name])
    missed = run(connection, sql, name, sync_no=sync.number, due=between.last_read - overlap)
    return Recall(seen, {row.kind: row.records for row in missed})
