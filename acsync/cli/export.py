"""Export the published records to a file or a pipe."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from acsync.cli.options import AccountName, database_of
from acsync.datasets import DatasetName
from acsync.errors import AcsyncError
from acsync.files import replace_file
from acsync.settings import Settings

if TYPE_CHECKING:
    from acsync.store.database import Database
    from acsync.store.export import Export

Format: TypeAlias = Literal["csv", "jsonl", "parquet", "xlsx"]
BY_ENDING: dict[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
}
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


def export(  # noqa: PLR0913, PLR0917  # one per option
    name: Annotated[DatasetName, typer.Argument(metavar="contacts|deals")],
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Default: by the ending of the file."),
    ] = None,
    output: Annotated[str, typer.Option(help="File to write; - is standard output.")] = "-",
    wide: Annotated[bool, typer.Option("--wide", help="One column per custom field.")] = False,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Only these columns, in this order.")
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="SYNC", help="Records of an earlier sync, as JSON Lines."),
    ] = None,
    account: AccountName = None,
) -> None:
    """Export the published records to CSV, JSON Lines, Parquet or Excel."""
    chosen = form or _format_by_ending(output) or ("jsonl" if as_of else "csv")
    if as_of and (wide or columns is not None or chosen != "jsonl"):
        raise typer.BadParameter(
            "--as-of writes JSON Lines only. Remove --wide and --columns, and use --format jsonl."
        )
    names = () if columns is None else tuple(dict.fromkeys(map(str.strip, columns.split(","))))
    _export(database_of(account), Request(name, chosen, wide, names, as_of), output)


def _format_by_ending(output: str) -> Format | None:
    ending = Path(output).suffix.lower()
    if ending and output != "-" and ending not in BY_ENDING:
        raise typer.BadParameter(
            f"{ending} is not one of {', '.join(BY_ENDING)}. Name the format with --format."
        )
    return BY_ENDING.get(ending)


def _export(settings: Settings, request: Request, output: str) -> None:
    """Export to the file `output`, or `-` for standard output; raises AcsyncError.

    An interrupted export keeps the old file: see acsync/files.py.
    """
    from acsync.store.database import open_database, require_current_schema

    with closing(open_database(settings)) as database:
        require_current_schema(database)
        if output == "-":
            _write_to_pipe(database, request)
        else:
            with _replacing(Path(output)) as file:
                _write(database, request, file)
            sys.stderr.write(f"Wrote the {request.name} to {output} ({request.form}).\n")


def _write_to_pipe(database: "Database", request: Request) -> None:
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


def _write(database: "Database", request: Request, file: IO[bytes]) -> None:
    from acsync.store.export import copy_export, open_export

    with (
        open_export(database, request.name, request.wide, request.as_of, request.columns) as export,
        _progress(request.name, export.rows) as advance,
    ):
        if request.form == "parquet":
            from acsync.store.parquet import write_parquet

            write_parquet(export, file, advance)
        elif request.form == "xlsx":
            _write_xlsx(export, request.name, file, advance)
        else:

            def write(line: bytes) -> None:
                file.write(line)
                advance(1)

            copy_export(export, request.form, write)


def _write_xlsx(export: "Export", name: DatasetName, file: IO[bytes], advance: Advance) -> None:
    from acsync.store.xlsx import MAX_TEXT, write_xlsx

    if cut := write_xlsx(export, name, file, advance):
        columns = ", ".join(f"{name} ({count:,})" for name, count in cut.items())
        sys.stderr.write(f"Cut to the {MAX_TEXT:,} characters of an Excel cell: {columns}.\n")


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
