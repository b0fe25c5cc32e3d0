"""Export the published records to a file or a pipe."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from acsync.datasets import DatasetName
from acsync.errors import AcsyncError
from acsync.files import replace_file
from acsync.settings import Settings
from acsync.store.database import Database, open_database, require_current_schema
from acsync.store.export import Export, copy_export, open_export

Format: TypeAlias = Literal["csv", "jsonl", "parquet", "xlsx"]
BINARY: dict[Format, str] = {"parquet": "Parquet", "xlsx": "an Excel file"}

# Adds to the number of rows written.
Advance: TypeAlias = Callable[[int], object]


@dataclass(frozen=True)
class Request:
    """A request for an export; without `as_of`, of the records published now.

    No `columns` means all of them.
    """

    name: DatasetName
    form: Format
    wide: bool
    columns: tuple[str, ...]
    as_of: str | None


def run_export(settings: Settings, request: Request, output: str) -> None:
    """Export to the file `output`, or `-` for standard output; raises AcsyncError.

    An interrupted export keeps the old file: see acsync/files.py.
    """
    with closing(open_database(settings)) as database:
        require_current_schema(database)
        if output == "-":
            _write_to_pipe(database, request)
        else:
            with _replacing(Path(output)) as file:
                _write(database, request, file)
            sys.stderr.write(f"Wrote the {request.name} to {output} ({request.form}).\n")


def _write_to_pipe(database: Database, request: Request) -> None:
    if request.form in BINARY and sys.stdout.isatty():
        raise AcsyncError(
            f"A terminal cannot show {BINARY[request.form]}.", "Name a file: --output FILE"
        )
    try:
        _write(database, request, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe (`| head`). Python would raise again while flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that replaces `path` when the block ends; raises AcsyncError."""
    try:
        with replace_file(path) as file:
            yield file
    except OSError as error:
        raise AcsyncError(
            f"{path} cannot be written: {error.strerror}.", "Name another file with --output."
        ) from None


def _write(database: Database, request: Request, file: IO[bytes]) -> None:
    with (
        open_export(database, request.name, request.wide, request.as_of, request.columns) as export,
        _progress(request.name, export.rows) as advance,
    ):
        _WRITERS[request.form](export, request, file, advance)


def _write_lines(export: Export, request: Request, file: IO[bytes], advance: Advance) -> None:
    def write(line: bytes) -> None:
        file.write(line)
        advance(1)

    form: Literal["csv", "jsonl"] = "csv" if request.form == "csv" else "jsonl"
    copy_export(export, form, write)


def _write_parquet(export: Export, _request: Request, file: IO[bytes], advance: Advance) -> None:
    from acsync.store.parquet import write_parquet  # noqa: PLC0415  # optional, and slow to import

    write_parquet(export, file, advance)


def _write_xlsx(export: Export, request: Request, file: IO[bytes], advance: Advance) -> None:
    from acsync.store.xlsx import MAX_TEXT, write_xlsx  # noqa: PLC0415  # only for this format

    cut = write_xlsx(export, request.name, file, advance)
    if cut:
        columns = ", ".join(f"{name} ({count:,})" for name, count in cut.items())
        sys.stderr.write(f"Cut to the {MAX_TEXT:,} characters of an Excel cell: {columns}.\n")


_WRITERS: dict[Format, Callable[[Export, Request, IO[bytes], Advance], None]] = {
    "csv": _write_lines,
    "jsonl": _write_lines,
    "parquet": _write_parquet,
    "xlsx": _write_xlsx,
}


@contextmanager
def _progress(name: DatasetName, rows: int) -> Iterator[Advance]:
    """Show a progress bar on standard error if that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    is_hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=is_hidden) as bars:
        task = bars.add_task(name, total=rows)
        yield lambda count: bars.advance(task, count)
