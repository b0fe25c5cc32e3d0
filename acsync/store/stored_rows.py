"""Write rows that views show without computing: current columns, tags, lists, changed fields."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from acsync.datasets import DATASETS, DatasetName
from acsync.readings import Interval
from acsync.store.database import VERSIONS, WIDE_ROWS, Database, run
from acsync.store.refusal import Write

STORED_ROWS = ("ac_stored_tags", "ac_stored_lists", "ac_stored_changes")

# The records that a sync added, updated, refreshed or deleted. An array, so that Postgres looks
# each one up in an index.
CHANGED = """
    any (array(
        select record_id from {bodies}
        where sync_no = :sync_no and record_id between :first and :last
        union
        select record_id from {versions}
        where valid_to = :sync_no and record_id between :first and :last
    ))
"""

# Rows that stay the same are not written again: a contact with six lists has usually changed
# something else.
DELETE_RELATIONS = f"""
    delete from {{schema}}.ac_stored_{{kind}} as stored
    where contact_id = {CHANGED} and not exists (
        select from {{schema}}.ac_computed_{{kind}}() as computed
        where contact_id = {CHANGED} and computed = stored
    )
"""
INSERT_RELATIONS = f"""
    insert into {{schema}}.ac_stored_{{kind}}
    select * from {{schema}}.ac_computed_{{kind}}() where contact_id = {CHANGED}
    on conflict do nothing
"""

INSERT_CHANGES = """
    insert into {schema}.ac_stored_changes
    select * from {schema}.ac_computed_changes()
    where data_type = :data_type and sync_no = :sync_no and record_id between :first and :last
"""

# Versions can differ without a change: values that a privacy rule left out came back in place. So
# only stored changes are written again. Those to replace have a negative place until they go.
REWRITE_CHANGES = (
    "update {schema}.ac_stored_changes set place = -place where {of_records}",
    """
    insert into {schema}.ac_stored_changes
    select * from {schema}.ac_computed_changes()
    where {of_records} and (record_id, sync_no, concat_ws(' ', list_id, field, field_id)) in (
        select record_id, sync_no, concat_ws(' ', list_id, field, field_id)
        from {schema}.ac_stored_changes where data_type = :data_type and place < 0
    )
    """,
    "delete from {schema}.ac_stored_changes where {of_records} and place < 0",
)


def list_row_writes(
    connection: Connection, name: DatasetName, as_write: Callable[[str], Write]
) -> Sequence[Write]:
    """Return the writes that bring a range of rows up to date, in order."""
    relations = [
        as_write(sql.replace("{kind}", kind))
        for kind in DATASETS[name].relations
        for sql in (DELETE_RELATIONS, INSERT_RELATIONS)
    ]
    return [*_list_wide_writes(connection, name, as_write), *relations, as_write(INSERT_CHANGES)]


def _list_wide_writes(
    connection: Connection, name: DatasetName, as_write: Callable[[str], Write]
) -> Sequence[Write]:
    """Return the writes of the wide view's rows.

    Deleting locks the table, so the columns that are filled afterwards are all that it has.
    """

    def insert(part: Interval) -> int:
        return as_write(f"{_wide_insert(connection, name)} and version.record_id = {CHANGED}")(part)

    return as_write(
        f"delete from {{schema}}.{WIDE_ROWS[name]} where {_key(name)} = {CHANGED}"
    ), insert


def _key(name: DatasetName) -> str:
    return f"{name.removesuffix('s')}_id"


def _wide_insert(connection: Connection, name: DatasetName) -> str:
    """Return the statement that adds the wide rows of all records, for more conditions."""
    sql: str = run(connection, "select {schema}.ac_wide_insert(:data_type)", name).scalar_one()
    # A colon in it is no parameter.
    return sql.replace(":", r"\:")


def rewrite_rows(
    connection: Connection, name: DatasetName, ids: Sequence[int] | None = None
) -> None:
    """Write the rows of these records, or of all, again from their versions."""
    is_chosen = "is not null" if ids is None else "= any(cast(:ids as bigint[]))"

    def write(sql: str) -> None:
        run(connection, sql, name, ids=list(ids or ()))

    write(f"delete from {{schema}}.{WIDE_ROWS[name]} where {_key(name)} {is_chosen}")
    write(f"{_wide_insert(connection, name)} and version.record_id {is_chosen}")
    for kind in DATASETS[name].relations:
        table, rows = f"{{schema}}.ac_stored_{kind}", f"{{schema}}.ac_computed_{kind}()"
        write(f"delete from {table} where contact_id {is_chosen}")
        write(f"insert into {table} select * from {rows} where contact_id {is_chosen}")
    of_records = f"data_type = :data_type and record_id {is_chosen}"
    for sql in REWRITE_CHANGES:
        write(sql.replace("{of_records}", of_records))


def update_statistics(database: Database, name: DatasetName) -> None:
    """Analyze the tables of a dataset after a large publication.

    Autovacuum does it a minute later. Until then Postgres expects empty tables, and a join of two
    views can take minutes.
    """
    tables = [VERSIONS[name], WIDE_ROWS[name], "ac_stored_changes"]
    tables += [f"ac_stored_{kind}" for kind in DATASETS[name].relations]
    with database.begin() as connection:
        run(connection, "analyze " + ", ".join(f"{{schema}}.{table}" for table in tables))
