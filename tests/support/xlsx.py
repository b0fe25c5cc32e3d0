"""Read the sheet of an Excel workbook as a spreadsheet does, by the standard library."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
EPOCH = datetime.fromisoformat("1899-12-30")


def read_xlsx(file: Path) -> list[list[Any]]:
    """Return all rows, with dates and times by the format of their cell; refuse formulas."""
    with ZipFile(file) as archive:
        formats = _read_formats(archive.read("xl/styles.xml"))
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))  # noqa: S314  # our own
    rows = [
        {_column(cell): _read_cell(cell, formats) for cell in row}
        for row in sheet.iter(f"{SPACE}row")
    ]
    return [[row.get(at) for at in range(len(rows[0]))] for row in rows]


def _read_formats(styles: bytes) -> list[str]:
    """Return the number format of each style of a cell."""
    root = ElementTree.fromstring(styles)  # noqa: S314  # our own
    codes = {
        kind.get("numFmtId"): kind.get("formatCode", "") for kind in root.iter(f"{SPACE}numFmt")
    }
    styled = root.find(f"{SPACE}cellXfs")
    assert styled is not None
    return [codes.get(style.get("numFmtId"), "") for style in styled]


def _column(cell: ElementTree.Element) -> int:
    at = 0
    for letter in re.sub(r"\d", "", cell.get("r", "")):
        at = at * 26 + ord(letter) - ord("A") + 1
    return at - 1


def _read_cell(cell: ElementTree.Element, formats: list[str]) -> Any:
    assert cell.find(f"{SPACE}f") is None, "a formula"
    if cell.get("t") == "inlineStr":
        text = "".join(part.text or "" for part in cell.iter(f"{SPACE}t"))
        return re.sub(r"_x([0-9A-F]{4})_", lambda code: chr(int(code[1], 16)), text)
    value = cell.findtext(f"{SPACE}v", "")
    if cell.get("t") == "b":
        return value == "1"
    code = formats[int(cell.get("s", "0"))]
    if not code:
        return Decimal(repr(float(value)))  # its shortest form, as a spreadsheet shows it
    seconds = timedelta(seconds=round(float(value) * 86_400))
    return EPOCH + seconds if "hh" in code else (EPOCH + seconds).date()
