"""Move acsync's revision out of the table that all Alembic programs share."""

from sqlalchemy import Connection

from acsync.store.database import (
    REVISION_TABLE,
    SHARED_REVISION_TABLE,
    has_table,
    read_revision,
    run,
)

SHARED = f"{{schema}}.{SHARED_REVISION_TABLE}"
OWN = f"{{schema}}.{REVISION_TABLE}"


def take_over(connection: Connection) -> None:
    """Move acsync's row out of `alembic_version`, which it used up to revision 0009.

    If the table has no other row, it is renamed, so it keeps its grants.
    """
    if has_table(connection, REVISION_TABLE):
        return
    revision = read_revision(connection)
    if revision is None:
        return
    if run(connection, f"select count(*) from {SHARED}").scalar_one() == 1:
        run(connection, f"alter table {SHARED} rename to {REVISION_TABLE}")
        run(
            connection,
            f"alter index if exists {{schema}}.{SHARED_REVISION_TABLE}_pkc "
            f"rename to {REVISION_TABLE}_pkc",
        )
    else:
        run(connection, f"create table {OWN} (like {SHARED} including all)")
        run(connection, f"insert into {OWN} values (:revision)", revision=revision)
        run(connection, f"delete from {SHARED} where version_num = :revision", revision=revision)
