"""An Excel file holds every value as it is, and nothing in it runs."""

import io
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from acsync.errors import AcsyncError
from acsync.store.database import Database
from acsync.store.export import Column, Export
from acsync.store.xlsx import write_xlsx
from tests.support.commands import ACSYNC, acsync
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch
from tests.support.xlsx import read_xlsx

WITHOUT_XLSXWRITER = """
import sys
sys.modules["xlsxwriter"] = None
from acsync.cli import main
main()
"""

HOSTILE = [
    '=HYPERLINK("http://x","y")',
    "+49 1",
    "-1",
    "@x",
    "007",
    "1e5",
    "https://example.com",
    "<r><t>x</t></r>",
    "<r>&</x></r>",
    "<r>_x0041_\x01</r>",
    "_x0041_",
    "\x01\x0b\x1f\ufffe\uffff",
    " a\r\n\tb ",
    "&<>\"'",
    "",
]


def export_of(database: Database, columns: dict[str, str], file: Path) -> Counter[str]:
    """Write one row: an SQL expression per type of Postgres."""
    listed = ", ".join(f'{sql} as "{name}"' for name, sql in columns.items())
    with database.begin() as connection, file.open("wb") as out:
        types = [Column(name, name.split("/")[0]) for name in columns]
        export = Export(connection, f"select {listed}", tuple(types), 1)
        return write_xlsx(export, "deals", out, lambda _: None)


def test_hostile_text_stays_text(
    copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """Text that a contact typed into a form must not run or break the file."""
    copy_account()
    for at, value in enumerate(HOSTILE):
        literal = "'" + value.replace("'", "''") + "'"
        fetch(
            database,
            f"update ac_contact_versions set last_name = {literal} where record_id = "
            f"(select contact_id from ac_contacts order by 1 offset {at} limit 1)",
        )
    file = tmp_path / "out.xlsx"

    done = acsync("export", "contacts", "--columns", "last_name", "--output", str(file))

    assert done.stderr == f"Wrote the contacts to {file} (xlsx).\n"
    names, *rows = read_xlsx(file)
    assert names == ["last_name"]
    assert [row[0] for row in rows[: len(HOSTILE)]] == HOSTILE


def test_text_longer_than_a_cell_is_cut_and_counted(
    copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """Excel counts an emoji as two characters. Escaped text must not be cut in an entity."""
    copy_account()
    fetch(
        database,
        "update ac_contact_versions set first_name = repeat('😀', 20000), "
        "last_name = '<r>' || repeat('&', 40000) || '</r>', phone = repeat('1', 32767) "
        "where record_id = (select min(record_id) from ac_contact_versions)",
    )
    file = tmp_path / "out.xlsx"

    done = acsync(
        "export", "contacts", "--columns", "first_name,last_name,phone", "--output", str(file)
    )

    warning = "Cut to the 32,767 characters of an Excel cell: first_name (1), last_name (1).\n"
    assert done.stderr.startswith(warning)
    first, last, phone = read_xlsx(file)[1]
    assert (first, phone) == ("😀" * 16_383, "1" * 32_767)
    assert last == "<r>" + "&" * 6_497


def test_values_keep_their_type_and_every_digit(database: Database, tmp_path: Path) -> None:
    """Excel has 15 digits and no dates before 1900; other values are text."""
    file = tmp_path / "out.xlsx"
    values: dict[str, tuple[str, Any]] = {
        "bigint": ("12::bigint", 12),
        "bigint/long": ("1234567890123456::bigint", "1234567890123456"),
        "numeric": ("4144.26000000000000000000::numeric", Decimal("4144.26")),
        "numeric/long": ("0.1234567890123456789::numeric", "0.1234567890123456789"),
        "numeric/nan": ("'NaN'::numeric", "NaN"),
        "numeric/infinite": ("'Infinity'::numeric", "Infinity"),
        "numeric/large": ("('1' || repeat('0', 400))::numeric", "1" + "0" * 400),
        "boolean": ("false", False),
        "date": ("date '1900-03-01'", date(1900, 3, 1)),
        "date/old": ("date '1900-02-28'", "1900-02-28"),
        "date/last": ("date '9999-12-31'", date(9999, 12, 31)),
        "timestamp with time zone": (
            "timestamptz '2026-03-29 01:30:00.9+05:30'",
            datetime.fromisoformat("2026-03-28 20:00:00"),
        ),
        "timestamp with time zone/last": (
            "timestamptz '9999-12-31T23:59:59-05:00'",
            datetime.fromisoformat("9999-12-31 23:59:59"),
        ),
        "timestamp with time zone/old": ("timestamptz '1899-01-01Z'", "1899-01-01 00:00:00"),
        "text[]": ("array['a', null, 'b; c']", "a; b; c"),
        "jsonb": ("""jsonb '{"a": 1.50}'""", '{"a": 1.50}'),
        "text": ("null::text", None),
    }

    cut = export_of(database, {name: sql for name, (sql, _) in values.items()}, file)

    assert cut == {}
    assert read_xlsx(file) == [list(values), [value for _, value in values.values()]]
    with ZipFile(file) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
        comments = archive.read("xl/comments1.xml").decode()
    assert re.search(r'<pane ySplit="1" [^>]*state="frozen"', sheet)
    assert comments.count("UTC") == 3


def test_more_rows_than_a_sheet_has_are_refused(database: Database) -> None:
    """XlsxWriter would leave them out without a word."""
    sql = "select generate_series(1, 1048576) as integer"
    message = "holds 1,048,575 rows, and there are 1,048,576 deals"
    with database.begin() as connection:
        export = Export(connection, sql, (Column("integer", "integer"),), 1)
        with pytest.raises(AcsyncError, match=message):
            write_xlsx(export, "deals", io.BytesIO(), lambda _: None)


def test_a_full_disk_and_a_missing_library_are_named(
    copy_account: CopyAccount, tmp_path: Path
) -> None:
    """The file is written only when it is complete, and no temporary file is left."""
    copy_account()
    out, temporary = tmp_path / "out.xlsx", tmp_path / "temporary"
    temporary.mkdir()
    export = ["export", "deals", "--output", str(out)]

    def run(*command: str) -> str:
        done = subprocess.run(
            [*command, *export],
            env={**os.environ, "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        return done.stderr

    # A limit on the size of files fails as a full disk does.
    full = run("bash", "-c", 'ulimit -f 8; exec "$@"', "bash", *ACSYNC)
    without = run(sys.executable, "-c", WITHOUT_XLSXWRITER)
    device = acsync("export", "deals", "--format", "xlsx", "--output", "/dev/full")

    named = f"Temporary files in {temporary} cannot be written: File too large. Set TMPDIR to"
    assert named in full
    assert "Traceback" not in full
    assert "not installed. Run: pip install 'acsync[xlsx]'" in without
    assert device.stderr.startswith("/dev/full cannot be written: No space left on device.")
    assert "Exception ignored" not in device.stderr
    assert [list(tmp_path.iterdir()), list(temporary.iterdir())] == [[temporary], []]
