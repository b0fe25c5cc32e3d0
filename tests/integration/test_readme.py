"""The README is true: its SQL runs, its tables name what there is."""

import io
import re
from contextlib import closing
from pathlib import Path

import pytest

from acsync.cli.app import app
from acsync.simulator.account import Account
from acsync.store.database import Database
from tests.support.fixtures import CopyAccount

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
SETTINGS = (ROOT / "acsync" / "settings.py").read_text()


def test_every_query_of_the_readme_gives_rows(
    copy_account: CopyAccount, account: Account, database: Database
) -> None:
    """A query that people paste must work, on an account with everything in it."""
    email = next(
        found
        for number in account.ids("contacts")
        if (found := account.expected("contacts", number)["email"])
    )
    assert copy_account().success
    assert len(QUERIES) >= 9

    for sql in QUERIES:
        rows = run_as_psql(database, sql.replace("someone@example.com", email))
        assert rows, sql


def run_as_psql(database: Database, sql: str) -> list[object]:
    """Run it on a plain connection; COPY gives its lines, the first of which are names."""
    with database.begin() as connection, closing(connection.connection.cursor()) as cursor:
        if sql.startswith("copy"):
            lines = io.StringIO()
            cursor.copy_expert(sql.rstrip().rstrip(";"), lines)
            return list(lines.getvalue().splitlines()[1:])
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_the_settings_table_names_every_variable_that_is_read() -> None:
    """A setting nobody can find is none."""
    read = set(re.findall(r'"((?:AC|ACSYNC|POSTGRES|DATABASE|CRON|LIMIT)_[A-Z_]+)"', SETTINGS))
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))
    example = set(
        re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    )

    assert documented == read - {"DATABASE_URL"}
    assert example == documented


def test_the_command_table_names_every_command() -> None:
    """And no command that does not exist."""
    documented = re.findall(r"^\| `acsync ([a-z]+)` \|", README, re.MULTILINE)

    assert sorted(documented) == sorted(
        command.name or command.callback.__name__
        for command in app.registered_commands
        if command.callback
    )


@pytest.mark.parametrize("target", ["demo", "test", "setup", "bench"])
def test_the_make_targets_of_the_readme_exist(target: str) -> None:
    """They are the first thing anybody types."""
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
