"""The SQL of the documents runs, and the documents name every view and column."""

import io
import re
from contextlib import closing

from acsync.simulator.account import Account
from acsync.simulator.expected import expected_record
from acsync.store.database import Database
from acsync.store.dictionary import read_views
from tests.support.documents import code_blocks, table_rows
from tests.support.fixtures import CopyAccount

QUERIES = code_blocks("sql")


def test_every_documented_query_returns_rows(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A query that people paste must work, on an account with everything in it."""
    contacts = (expected_record(account, "contacts", number) for number in account.ids("contacts"))
    email = next(contact["email"] for contact in contacts if contact["email"])
    assert copy_account().success
    assert len(QUERIES) >= 14

    for sql in QUERIES:
        rows = run_as_psql(database, sql.replace("someone@example.com", email))
        assert rows, sql


def run_as_psql(database: Database, sql: str) -> list[object]:
    """Run a statement on a plain connection; for COPY, return the lines after the header."""
    with database.begin() as connection, closing(connection.connection.cursor()) as cursor:
        if sql.startswith("copy"):
            lines = io.StringIO()
            cursor.copy_expert(sql.rstrip().rstrip(";"), lines)
            return list(lines.getvalue().splitlines()[1:])
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_every_view_and_column_is_documented(database: Database) -> None:
    """Columns of the wide views and of the two views about syncs are described in prose."""
    documented = {
        view: set(re.findall(r"\w+", row[2])) if row[2].startswith("`") else None
        for row in table_rows("docs/data.md")
        if len(row) == 4  # the table of the views
        for view in re.findall(r"`(ac_\w+)`", row[0])
    }
    with database.begin() as connection:
        views = read_views(connection, with_custom_fields=True).values()
    columns = {(view.name, column.name) for view in views for column in view.columns}

    assert {view for view, _ in columns} - {"ac_sync_logs"} == documented.keys()
    missing = {
        (view, column)
        for view, column in columns
        if (named := documented.get(view)) is not None and column not in named
    }
    assert missing == set()
