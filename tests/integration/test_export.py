"""An export, read back, equals the view, and no half file is left."""

import io
import json
import os
import re
import signal
import stat
import subprocess
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from acsync.simulator.account import Account
from acsync.simulator.account_options import AccountOptions
from acsync.store.database import Database
from acsync.store.export import open_export, read_batches, read_digits
from tests.support import commands
from tests.support.commands import ACSYNC, acsync, wait_for
from tests.support.fixtures import CopyAccount
from tests.support.syncs import fetch, rows_of
from tests.support.xlsx import read_xlsx


@pytest.fixture
def options() -> AccountOptions:
    """Use an account with a field of each type."""
    return AccountOptions(
        contacts=150, deals=120, rate_limit=None, contact_fields=14, deal_fields=14
    )


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def plain(value: Any) -> Any:
    """Convert a pandas value to a plain Python value."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    if isinstance(value, np.generic):
        return value.item()
    return None if value is None or value is pd.NaT or pd.isna(value) else value


def in_excel(value: Any, printed: str) -> Any:
    """Convert a value to that of a cell; `printed` is its text in Postgres."""
    if isinstance(value, list) and printed.startswith("{"):
        return "; ".join(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    is_long = isinstance(value, Decimal) and len(re.sub(r"\D", "", printed).strip("0")) > 15
    is_old = type(value) is date and value < date(1900, 3, 1)
    return printed if is_long or is_old or isinstance(value, dict | list) else value


@pytest.mark.parametrize("view", ["ac_contacts", "ac_contacts_wide", "ac_deals", "ac_deals_wide"])
def test_every_format_read_back_equals_the_view(
    view: str, copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """Typed in Parquet and Excel, as Postgres prints it in CSV."""
    assert copy_account().success
    name, _, wide = view.removeprefix("ac_").partition("_")
    export = ["export", name, *(["--wide"] if wide else [])]
    parquet, table, excel = (tmp_path / f"out.{form}" for form in ("parquet", "csv", "xlsx"))
    for file in (parquet, table, excel):
        done = acsync(*export, "--output", str(file))
        form = file.suffix.removeprefix(".")
        wrote = f"Wrote the {name} to {file} ({form}).\n"
        assert (done.returncode, done.stdout, done.stderr) == (0, "", wrote)
    expected = rows_of(database, view)

    typed = pd.read_parquet(parquet)
    assert list(typed.columns) == list(expected[0])
    for row, exported in zip(expected, typed.to_dict("records"), strict=True):
        for column, value in row.items():
            shown = plain(exported[str(column)])
            if isinstance(value, dict | list) and isinstance(shown, str):
                shown = json.loads(shown, parse_float=Decimal)
            if isinstance(value, Decimal) and isinstance(shown, str):
                shown = Decimal(shown)
            if isinstance(value, dict):
                assert shown == json.loads(json.dumps(value, default=float), parse_float=Decimal)
                continue
            assert shown == value, column

    lines = pd.read_csv(table, dtype=str, keep_default_na=False, na_values=[""])
    first = next(iter(expected[0]))
    columns = ", ".join(f'"{column}"::text as "{column}"' for column in expected[0])
    numbered = f"row_number() over (order by {view}.{first}) as n, {columns}"
    texts = rows_of(database, f"(select {numbered} from {view}) as numbered")
    # pandas does not tell an empty text from a null.
    assert [[plain(cell) for cell in row] for row in lines.to_numpy()] == [
        [value or None for column, value in row.items() if column != "n"] for row in texts
    ]

    names, *cells = read_xlsx(excel)
    assert names == list(expected[0])
    for row, printed, shown_row in zip(expected, texts, cells, strict=True):
        for (column, value), cell in zip(row.items(), shown_row, strict=True):
            assert cell == in_excel(value, printed[column]), column


def test_parquet_holds_times_that_python_cannot(
    copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """Many accounts write never as 9999-12-31, which may be in the year 10000 in UTC."""
    copy_account()
    fetch(
        database,
        "alter database current set timezone = 'Asia/Tokyo'".replace(
            "current", str(database.engine.url.database)
        ),
    )
    fetch(
        database,
        "update ac_contact_versions set created_at = '9999-12-31T23:59:59-05:00', "
        "updated_at = '0001-01-01T00:00:00+05:00' "
        "where record_id = (select min(record_id) from ac_contact_versions)",
    )
    file = tmp_path / "out.parquet"

    done = acsync("export", "contacts", "--output", str(file))

    assert done.returncode == 0, done.stderr
    first, second = pd.read_parquet(file).to_dict("records")[:2]
    assert [plain(first[name]) for name in ("created_at", "updated_at")] == [
        datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
    ]
    number = plain(second["contact_id"])
    sql = f"select created_at from ac_contacts where contact_id = {number}"
    assert fetch(database, sql) == [(plain(second["created_at"]),)]


def test_an_export_is_one_snapshot_though_a_sync_publishes(
    account: Account, copy_account: CopyAccount, database: Database
) -> None:
    """Parquet first asks for the digits of numbers, and later for the rows."""
    copy_account()
    before = rows_of(database, "ac_deals")

    with open_export(database, "deals", wide=False, sync_id=None) as export:
        digits = read_digits(export)
        account.change("deals", 50)
        account.delete("deals", 20)
        assert copy_account().success
        again = read_digits(export)
        rows = [row for batch in read_batches(export) for row in batch]

    assert digits == again
    assert [row[0] for row in rows] == [row["deal_id"] for row in before]
    assert [row[1] for row in rows] == [row["title"] for row in before]
    assert len(rows_of(database, "ac_deals")) == len(before) - 20


def test_json_lines_are_the_rows_of_the_view(copy_account: CopyAccount, database: Database) -> None:
    copy_account()

    done = acsync("export", "deals", "--format", "jsonl")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    expected = fetch(database, "select to_json(d) from ac_deals as d order by deal_id")
    assert rows == [row for (row,) in expected]


def test_columns_are_exported_in_the_order_asked(
    copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """In every format, sorted by the id even if that is left out."""
    copy_account()
    custom = fetch(database, "select column_name from ac_fields where data_type = 'deals' limit 1")
    names = ["updated_at", str(custom[0][0]), "title"]
    expected = [[row[name] for name in names] for row in rows_of(database, "ac_deals_wide")]
    export = ["export", "deals", "--wide", "--columns", ", ".join([*names, "title"])]
    parquet = tmp_path / "out.parquet"

    table = acsync(*export).stdout
    lines = acsync(*export, "--format", "jsonl").stdout.splitlines()
    assert acsync(*export, "--output", str(parquet)).returncode == 0

    titles = [row[2] for row in expected]
    frame = pd.read_csv(io.StringIO(table), dtype=str, keep_default_na=False)
    typed = pd.read_parquet(parquet)
    assert list(frame.columns) == list(typed.columns) == list(json.loads(lines[0])) == names
    assert [json.loads(line)["title"] for line in lines] == titles
    assert list(frame["title"]) == list(typed["title"]) == titles
    assert [plain(value) for value in typed["updated_at"]] == [row[0] for row in expected]


def test_an_unknown_column_is_refused_with_the_nearest(
    copy_account: CopyAccount, tmp_path: Path
) -> None:
    """An empty name too: an unset variable must not export everything."""
    copy_account()
    file = str(tmp_path / "out.csv")

    misspelt = acsync("export", "contacts", "--columns", "phone,Emial", "--output", file)
    empty = acsync("export", "contacts", "--wide", "--columns", "", "--output", file)

    assert (misspelt.returncode, empty.returncode) == (2, 2)
    assert 'ac_contacts has no column "Emial". Did you mean email?' in misspelt.stderr
    assert "Columns: contact_id, email, first_name," in misspelt.stderr
    assert "Custom fields need --wide." in misspelt.stderr
    assert 'ac_contacts_wide has no column "". Columns: contact_id, email,' in empty.stderr
    assert names_in(tmp_path) == []


def test_an_earlier_sync_is_exported_as_it_was(
    account: Account, copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """As `ac_records_as_of` returns it; a sync that is not kept is named, with those that are."""
    first = copy_account().sync_id
    before = rows_of(database, "ac_contacts")
    account.change("contacts", 50)
    account.delete("contacts", 10)
    copy_account()

    done = acsync("export", "contacts", "--as-of", first)
    missing = acsync("export", "contacts", "--as-of", "sync-1", "--output", str(tmp_path / "x"))

    rows = [json.loads(line, parse_float=Decimal) for line in done.stdout.splitlines()]
    assert [row["record_id"] for row in rows] == [row["contact_id"] for row in before]
    assert [row["record"]["phone"] for row in rows] == [row["phone"] for row in before]
    assert {tuple(row) for row in rows} == {("data_type", "record_id", "record")}
    assert {row["data_type"] for row in rows} == {"contacts"}
    assert missing.returncode == 2
    assert "The contacts of sync-1 are not kept. Kept are: sync-" in missing.stderr
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--wide"],
        ["--columns", "email"],
        ["--format", "csv"],
        ["--output", "x.csv"],
        ["--output", "x.parquet"],
        ["--output", "x.xlsx"],
    ],
)
def test_an_earlier_sync_is_refused_in_any_other_form(arguments: list[str]) -> None:
    """The views show today's columns, so they cannot show the fields of then."""
    refused = acsync("export", "contacts", "--as-of", "sync-1", *arguments)

    assert (refused.returncode, "--as-of writes JSON Lines only" in refused.stderr) == (2, True)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    """It used to write a CSV of that name, which Excel does not open."""
    done = acsync("export", "contacts", "--output", str(tmp_path / "contacts.xls"))

    assert done.returncode == 2
    assert ".xls is not one of .csv, .jsonl, .ndjson, .parquet, .xlsx." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_export_leaves_the_old_file(
    copy_account: CopyAccount, database: Database, tmp_path: Path
) -> None:
    """The new file replaces the old one only when it is complete."""
    copy_account()
    file = tmp_path / "out.csv"
    file.write_text("old")
    fetch(
        database,
        "create or replace function slow(x bigint) returns bigint language plpgsql as "
        "$$ begin perform pg_sleep(0.02); return x; end $$",
    )
    fetch(
        database,
        "create or replace view ac_contacts as select slow(record_id) as contact_id, email, "
        "first_name, last_name, phone, created_at, updated_at, custom_fields, record, "
        "now() as synced_at, tags, lists, changed_at "
        "from ac_contact_versions where valid_to is null",
    )
    process = commands.start("export", "contacts", "--output", str(file))
    wait_for("the temporary file", lambda: len(names_in(tmp_path)) == 2)

    process.send_signal(signal.SIGTERM)

    assert commands.wait(process).returncode != 0
    assert names_in(tmp_path) == ["out.csv"]
    assert file.read_text() == "old"


def test_an_export_writes_to_a_fifo(copy_account: CopyAccount, tmp_path: Path) -> None:
    """acsync used to replace the FIFO by a file, and its reader waited forever.

    A new file is private.
    """
    copy_account()
    fifo, file = tmp_path / "fifo", tmp_path / "out.csv"
    os.mkfifo(fifo)
    process = commands.start("export", "contacts", "--output", str(fifo))

    read = fifo.read_bytes()

    assert commands.wait(process).returncode == 0
    assert acsync("export", "contacts", "--output", str(file)).returncode == 0
    assert read == file.read_bytes()
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_closed_pipe_ends_quietly(copy_account: CopyAccount) -> None:
    """For example in `acsync export contacts | head -1`."""
    copy_account()
    with subprocess.Popen(
        [*ACSYNC, "export", "contacts"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"contact_id,email,")
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_path_that_cannot_be_written_is_named(copy_account: CopyAccount, tmp_path: Path) -> None:
    empty = acsync("export", "deals", "--output", str(tmp_path / "out.csv"))
    copy_account()
    nowhere = acsync("export", "deals", "--output", str(tmp_path / "no" / "out.csv"))

    assert (empty.returncode, nowhere.returncode) == (1, 1)
    assert "No deals are published yet. Run: acsync sync" in empty.stderr
    assert "cannot be written: No such file or directory." in nowhere.stderr
    assert names_in(tmp_path) == []
