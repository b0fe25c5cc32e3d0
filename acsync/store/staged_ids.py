"""Say which ids a sync has read, each once, however many slices read it."""

from sqlalchemy import Connection

from acsync.store.sql import run

STAGED_IDS = """
    select distinct on (record_id) record_id, slice_no
    from (
        select slice_no, staged_at, unnest(record_ids) as record_id
        from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    ) as read
    order by record_id, staged_at desc, slice_no desc
"""
"""Each id that was read, with the slice that read it last: that one knows best."""

STAGED_MASKED = """
    select count(*)
    from (
        select distinct slice_no, unnest(masked_ids) as record_id
        from {schema}.ac_staged_slices
        where sync_no = :sync_no and data_type = :data_type
    ) as masked join staged using (slice_no, record_id)
"""


def forbid_nested_loops(connection: Connection) -> None:
    """Keep the planner, until the transaction ends, from a plan that takes hours.

    Staging has no statistics yet: it would expect a few rows and compare 80,000 with 80,000.
    """
    run(connection, "set local enable_nestloop = off")
