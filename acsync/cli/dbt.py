"""Write a dbt project for an account into a folder."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from acsync.cli.options import AccountName, console, database_of
from acsync.errors import AcsyncError, UsageError
from acsync.settings import Settings


def dbt(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")],
    account: AccountName = None,
) -> None:
    """Write a dbt project for this account into a folder."""
    settings = database_of(account)
    try:
        _require_own_folder(folder)
        files = _render(settings)
        kept = [name for name, text in files.items() if not _write(folder / name, text)]
    except OSError as error:
        raise AcsyncError(
            f"{error.filename} cannot be written: {error.strerror}.", "Name another folder."
        ) from None
    for name in kept:
        console.print(f"Kept your version of {name}.", soft_wrap=True)
    console.print(f"The dbt project is in {folder}. Next: see its README.md.", soft_wrap=True)


def _render(settings: Settings) -> dict[str, str]:
    from acsync.dbt.project import render_project
    from acsync.store.catalogue import read_catalogue
    from acsync.store.database import open_database, require_current_schema

    with closing(open_database(settings)) as database:
        require_current_schema(database)
        return render_project(read_catalogue(database))


def _require_own_folder(folder: Path) -> None:
    """Raise UsageError unless the folder is new, has only hidden files, or holds this project."""
    from acsync.dbt.project import NAME_LINE, PROJECT_FILE

    if not folder.exists() or all(path.name.startswith(".") for path in folder.iterdir()):
        return
    project = folder / PROJECT_FILE
    if not project.exists() or NAME_LINE not in project.read_bytes().splitlines():
        raise UsageError(
            f"{folder} has files, but no dbt project of acsync.", "Name a new or an empty folder."
        )


def _write(path: Path, text: str) -> bool:
    """Write a file unless its first line says that it is not acsync's; return if it is."""
    from acsync.dbt.project import MARK

    content = text.encode()
    if path.exists():
        existing = path.read_bytes()
        if MARK not in existing.partition(b"\n")[0]:
            return False
        if existing == content:
            return True
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return True
