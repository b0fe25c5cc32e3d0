"""Vacuum the tables that hold values, after rows were deleted or replaced."""

from dataclasses import dataclass

from acsync.errors import StoreError
from acsync.store.database import BODIES, VERSIONS, WIDE_ROWS, Database, run, schema_of
from acsync.store.stored_rows import STORED_ROWS

TABLES = (
    *VERSIONS.values(),
    *WIDE_ROWS.values(),
    *STORED_ROWS,
    *BODIES.values(),
    "ac_deleted",
    "ac_dimensions",
)

# Postgres keeps the statistics of a table that was emptied, with samples of its old values. These
# rows replace them: ANALYZE also reads rows of its own transaction. Their first column is 0, which
# no record and no sync has.
PLACEHOLDERS = {
    "ac_stored_tags": "(contact_id, tag_id) values (0, 0)",
    "ac_stored_lists": "(contact_id, list_id) values (0, 0)",
    "ac_stored_changes": "(record_id, sync_no, changed_at, place, data_type) "
    "values (0, 0, now(), 0, 'contacts')",
    **dict.fromkeys(
        BODIES.values(), "(sync_no, slice_no, record_id, hash, record) values (0, 0, 0, '', '{}')"
    ),
}


@dataclass(frozen=True)
class Vacuumed:
    """The tables that were vacuumed, and those that Postgres refused to vacuum."""

    done: tuple[str, ...]
    refused: tuple[str, ...]

    def describe_refused(self) -> list[str]:
        """Return a line that names the refused tables and what their owner can do, or nothing."""
        tables = ", ".join(self.refused)
        text = (
            f"Not vacuumed: {tables}. Their deleted rows stay in the data files until autovacuum "
            f"or their owner frees them, with: vacuum (analyze) {tables};"
        )
        return [text] if tables else []


def vacuum(database: Database) -> Vacuumed:
    """Free the space of deleted rows, and take new statistics, which hold samples of values."""
    sql = """
        select relname, pg_has_role(relowner, 'USAGE') as is_mine from pg_class
        where relnamespace = to_regnamespace(:schema) and relname = any(:tables) order by relname
    """
    with database.begin() as connection:
        schema, names = schema_of(connection), list(TABLES)
        tables = run(connection, sql, schema=schema, tables=names).all()
    # Only the owner can vacuum.
    done = [name for name, is_mine in tables if is_mine and _is_vacuumed(database, name)]
    return Vacuumed(tuple(done), tuple(name for name, _ in tables if name not in done))


def _is_vacuumed(database: Database, table: str) -> bool:
    try:
        if row := PLACEHOLDERS.get(table):
            _replace_statistics(database, table, row)
        with database.alone() as connection:
            run(connection, f"vacuum (analyze) {{schema}}.{table}")
    except StoreError:
        return False
    return True


def _replace_statistics(database: Database, table: str, row: str) -> None:
    """Let the statistics of an empty table sample a placeholder that nobody else sees."""
    with database.begin() as connection:
        if run(connection, f"select exists (select from {{schema}}.{table})").scalar_one():
            return
        run(connection, f"insert into {{schema}}.{table} {row}")
        run(connection, f"analyze {{schema}}.{table}")
        first_column = row[1:].partition(",")[0]
        run(connection, f"delete from {{schema}}.{table} where {first_column} = 0")
