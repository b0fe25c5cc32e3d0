"""Write the tables that the wide views show: one typed row per current record."""

from collections.abc import Sequence

from sqlalchemy import Connection

from acsync.datasets import DatasetName
from acsync.readings import Interval
from acsync.results import Sync
from acsync.store.database import WIDE_ROWS, run
from acsync.store.refusal import Write

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


def list_row_writes(connection: Connection, sync: Sync, name: DatasetName) -> Sequence[Write]:
    """Return the writes that bring a range of rows up to date, in order.

    Deleting locks the table, so the columns that are filled afterwards are all that it has.
    """
    table, key = WIDE_ROWS[name], _key(name)

    def write(sql: str, part: Interval) -> int:
        values = {"sync_no": sync.number, "first": part.first, "last": part.last}
        return run(connection, sql, name, **values).rowcount

    def delete(part: Interval) -> int:
        return write(f"delete from {{schema}}.{table} where {key} = {CHANGED}", part)

    def insert(part: Interval) -> int:
        return write(f"{_insert(connection, name)} and version.record_id = {CHANGED}", part)

    return delete, insert


def rewrite_rows(connection: Connection, name: DatasetName, ids: Sequence[int]) -> None:
    """Write the rows of these records again from their current versions."""
    is_chosen = "any(cast(:ids as bigint[]))"
    delete = f"delete from {{schema}}.{WIDE_ROWS[name]} where {_key(name)} = {is_chosen}"
    run(connection, delete, name, ids=list(ids))
    insert = f"{_insert(connection, name)} and version.record_id = {is_chosen}"
    run(connection, insert, name, ids=list(ids))


def _key(name: DatasetName) -> str:
    return f"{name.removesuffix('s')}_id"


def _insert(connection: Connection, name: DatasetName) -> str:
    """Return the statement that adds the rows of all records, for more conditions."""
    sql: str = run(connection, "select {schema}.ac_wide_insert(:data_type)", name).scalar_one()
    # A colon in it is no parameter.
    return sql.replace(":", r"\:")
