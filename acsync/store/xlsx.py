"""Write an export as an Excel workbook; XlsxWriter comes with the extra `acsync[xlsx]`."""

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from math import isfinite
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory, gettempdir
from typing import IO, Any
from xml.sax.saxutils import escape

from acsync.datasets import DatasetName
from acsync.errors import AcsyncError
from acsync.store.export import Export, count_rows, read_batches

MAX_ROWS = 1_048_575  # below the row of names
MAX_TEXT = 32_767  # characters in a cell
WIDTH = 20  # of a column, in characters; fits a time

# Spreadsheets disagree about older dates, because Excel has a 29 February 1900.
FIRST_DATE = date(1900, 3, 1)

# XlsxWriter writes text that looks like this as XML, unescaped. Escaped, it is up to five times as
# long, and XlsxWriter would cut it anywhere.
RICH_TEXT = ("<r>", "</r>")
MAX_RICH_TEXT = 6_500


def write_xlsx(
    export: Export, name: DatasetName, file: IO[bytes], advance: Callable[[int], object]
) -> Counter[str]:
    """Write all rows; return by column how many texts were cut to the length of a cell.

    Times are UTC and whole seconds. Dates before March 1900, and numbers with more digits than the
    15 of Excel, are written as text. Raises AcsyncError without XlsxWriter, for too many rows, and
    if the folder for temporary files is full.
    """
    rows = count_rows(export)
    if rows > MAX_ROWS:
        raise AcsyncError(
            f"An Excel sheet holds {MAX_ROWS:,} rows, and there are {rows:,} {name}.",
            "Use --format csv or parquet.",
        )
    with TemporaryDirectory(prefix="acsync-") as folder:
        path = Path(folder, "sheet.xlsx")
        cut = _write_workbook(export, name, path, advance)
        with path.open("rb") as workbook:
            copyfileobj(workbook, file)
    return cut


def _write_workbook(
    export: Export, name: DatasetName, path: Path, advance: Callable[[int], object]
) -> Counter[str]:
    """Write the file, and its rows to temporary files first: XlsxWriter's low-memory mode."""
    xlsxwriter = _import_xlsxwriter()
    options = {"constant_memory": True, "tmpdir": str(path.parent)}
    workbook = xlsxwriter.Workbook(path, options)
    try:
        cut = _Sheet(workbook, name).write(export, advance)
        workbook.close()
    except xlsxwriter.exceptions.FileSizeError:
        raise AcsyncError(
            "The rows are larger than the 4 GB that Excel opens.",
            "Leave out large columns with --columns.",
        ) from None
    except (OSError, xlsxwriter.exceptions.FileCreateError) as error:
        reason = error if isinstance(error, OSError) else error.args[0]
        raise AcsyncError(
            f"Temporary files in {gettempdir()} cannot be written: {reason.strerror}.",
            "Set TMPDIR to a folder with more space.",
        ) from None
    return cut


def _import_xlsxwriter() -> Any:
    try:
        import xlsxwriter.exceptions  # noqa: PLC0415  # an extra
    except ImportError:
        raise AcsyncError(
            "Excel files need XlsxWriter, which is not installed.",
            "Run: pip install 'acsync[xlsx]'",
        ) from None
    return xlsxwriter


class _Sheet:
    """The one sheet of a workbook, written row by row."""

    def __init__(self, workbook: Any, name: DatasetName) -> None:
        self.sheet = workbook.add_worksheet(name)
        self.bold = workbook.add_format({"bold": True})
        self.date = workbook.add_format({"num_format": "yyyy-mm-dd"})
        self.time = workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})

    def write(self, export: Export, advance: Callable[[int], object]) -> Counter[str]:
        """Write the names and all rows; return by column how many texts were cut."""
        self._write_names(export)
        cut: Counter[str] = Counter()
        for at, row in enumerate(chain.from_iterable(read_batches(export)), 1):
            for number, value in enumerate(row):
                if self._write_cell(at, number, value):
                    cut[export.columns[number].name] += 1
            advance(1)
        return cut

    def _write_names(self, export: Export) -> None:
        self.sheet.freeze_panes(1, 0)
        self.sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{MAX_ROWS + 1}"})
        for number, column in enumerate(export.columns):
            self.sheet.set_column(number, number, max(WIDTH, len(column.name) + 2))
            self.sheet.write_string(0, number, column.name, self.bold)
            if column.type == "timestamp with time zone":
                self.sheet.write_comment(0, number, "UTC")

    def _write_cell(self, row: int, number: int, value: Any) -> bool:
        """Write a value by its type; return whether text had to be cut."""
        match value:
            case None:
                return False
            case bool():
                self.sheet.write_boolean(row, number, value)
            case int() | Decimal() if _is_exact(value):
                self.sheet.write_number(row, number, float(value))
            case datetime() if value.date() >= FIRST_DATE:
                # Excel would show 23:59:59.9 as the next day, which has no date after 9999.
                self.sheet.write_datetime(row, number, value.replace(microsecond=0), self.time)
            case date() if not isinstance(value, datetime) and value >= FIRST_DATE:
                self.sheet.write_datetime(row, number, value, self.date)
            case list():
                return self._write_text(row, number, "; ".join(filter(None, value)))
            case _:
                return self._write_text(row, number, str(value))
        return False

    def _write_text(self, row: int, number: int, text: str) -> bool:
        """Write text as it is, never as a formula or a link; return whether it had to be cut."""
        start, end = RICH_TEXT
        if not (text.startswith(start) and text.endswith(end)):
            return bool(self.sheet.write_string(row, number, text))
        shown = escape(text[:MAX_RICH_TEXT])
        self.sheet.write_string(row, number, f"{start}<t>{shown}</t>{end}")
        return len(text) > MAX_RICH_TEXT


def _is_exact(value: int | Decimal) -> bool:
    """Return whether Excel, which keeps 15 digits, shows this number as it is."""
    number = float(value)
    return isfinite(number) and Decimal(f"{number:.15g}") == value
