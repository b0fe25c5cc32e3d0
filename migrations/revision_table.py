"""Move acsync's revision out of the table that all Alembic programs share."""

from sqlalchemy import Connection

from acsync.store.database import (
    REVISION_TABLE,
    SHARED_REVISION_TABLE,
    has_table,
    read_revision,
    run,
    schema_of,
)


def move_revision(connection: Connection) -> list[str]:
    """Return SQL that moves acsync's row out of `alembic_version`, used up to revision 0009.

    If the table has no other row, it is renamed, so it keeps its grants.
    """
    revision = read_revision(connection)
    if revision is None or has_table(connection, REVISION_TABLE):
        return []
    schema = schema_of(connection)
    shared, own = f"{schema}.{SHARED_REVISION_TABLE}", f"{schema}.{REVISION_TABLE}"
    if run(connection, f"select count(*) from {shared}").scalar_one() == 1:
        return [
            f"alter table {shared} rename to {REVISION_TABLE}",
            f"alter index if exists {shared}_pkc rename to {REVISION_TABLE}_pkc",
        ]
    return [
        f"create table {own} (like {shared} including all)",
        f"insert into {own} values ('{revision}')",
        f"delete from {shared} where version_num = '{revision}'",
    ]
