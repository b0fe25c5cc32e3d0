"""Forget a person: show what would be removed, ask, remove it, and say what remains."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer
from rich.table import Table

from acsync import logs
from acsync.cli.options import AccountName, console, database_of
from acsync.errors import AcsyncError, LeaseHeld, UsageError
from acsync.settings import Settings

if TYPE_CHECKING:
    from acsync.store.vacuum import Vacuumed
    from acsync.sync.forget import Erasure, Person

T = TypeVar("T")

# A full sync of a large account takes minutes.
WAIT_SECONDS, LOOK_SECONDS = 1_800.0, 1.0

OUT_OF_REACH = (
    "acsync cannot reach backups, WAL archives, exports, and copies in other programs: see “Forget "
    "a person” in docs/production.md."
)


def forget(
    _kind: Annotated[Literal["contact"], typer.Argument(metavar="contact")],
    contact_id: Annotated[int | None, typer.Argument(metavar="ID", min=1)] = None,
    email: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Forget all contacts that have or had this address."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Let later syncs copy the person again.")
    ] = False,
    account: AccountName = None,
) -> None:
    """Remove a person from the copy and its history, and leave it out of later syncs."""
    from acsync.sync.forget import Person

    address = (email or "").strip() or None
    if (contact_id is None) == (address is None):
        raise typer.BadParameter("Name either the ID of a contact or its --email.")
    settings, person = database_of(account), Person(contact_id, address)
    if undo:
        _undo(settings, person)
    else:
        _forget(settings, person, yes, as_json)


def _forget(settings: Settings, person: "Person", is_confirmed: bool, as_json: bool) -> None:
    """Forget a person, after asking on a terminal; raises LeaseHeld if a sync does not end."""
    from acsync.store.database import open_database, require_current_schema
    from acsync.store.vacuum import vacuum
    from acsync.sync.forget import forget, plan_erasure

    with closing(open_database(settings)) as database:
        require_current_schema(database)
        if not is_confirmed:
            _show(person, plan_erasure(database, person), as_json)
            _confirm(as_json)
        erasure = _between_syncs(lambda: forget(database, person))
        vacuumed = vacuum(database)
    if as_json:
        _write_json(erasure, vacuumed)
        return
    if is_confirmed:
        _show(person, erasure, as_json)
    for line in _describe_end(person, erasure, vacuumed):
        console.print(line, soft_wrap=True)


def _show(person: "Person", erasure: "Erasure", as_json: bool) -> None:
    """Print how many rows are removed, never what they contain."""
    if as_json:
        _write_json(erasure, None)
        return
    counts = {"deleted": erasure.deleted, "redacted": erasure.redacted}
    table = Table("table", "what happens")
    table.add_column("rows", justify="right")
    for what, tables in counts.items():
        for name, rows in tables.items():
            table.add_row(name, what, f"{rows:,}")
    if table.row_count:
        console.print(table)
    else:
        console.print(f"The copy has nothing of {_name(person, erasure.contacts)}.")
    if erasure.sharers and person.address is None:
        ids = ", ".join(map(str, erasure.sharers))
        console.print(
            f"Other contacts have the same address and stay: {ids}. To forget them too, use "
            "--email.",
            soft_wrap=True,
        )


def _confirm(as_json: bool) -> None:
    """Ask on a terminal; otherwise raise UsageError, because nobody can answer."""
    if as_json or not sys.stdin.isatty():
        raise UsageError("Nothing was removed.", "To remove it, add --yes.")
    typer.confirm("Remove it? The history cannot be restored.", abort=True)


def _undo(settings: Settings, person: "Person") -> None:
    """Let the next full sync copy a person again; raises AcsyncError if nobody was forgotten."""
    from acsync.store.database import open_database, require_current_schema
    from acsync.sync.forget import undo

    name = "The address" if person.address else f"Contact {person.contact_id}"
    with closing(open_database(settings)) as database:
        require_current_schema(database)
        if not _between_syncs(lambda: undo(database, person)):
            raise AcsyncError(f"{name} is not forgotten.", "Check the id or the address.")
    also = " Contacts that were forgotten by it need --undo with their ids too."
    console.print(
        f"{name} is no longer kept out.{also if person.address else ''} The next full sync copies "
        "what is not kept out.",
        soft_wrap=True,
    )


def _between_syncs(act: Callable[[], T]) -> T:
    """Wait until no sync is running, then act."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    is_told = False
    while True:
        try:
            return act()
        except LeaseHeld as held:
            if time.monotonic() > give_up_at:
                raise
            if not is_told:
                logs.note(f"{held.message} Waiting until it ends …")
            is_told = True
        time.sleep(LOOK_SECONDS)


def _describe_end(person: "Person", erasure: "Erasure", vacuumed: "Vacuumed") -> Sequence[str]:
    name = _name(person, erasure.contacts)
    return [
        f"Forgotten: {name}. Syncs leave it out as long as ActiveCampaign lists it.",
        OUT_OF_REACH,
        *vacuumed.describe_refused(),
    ]


def _name(person: "Person", contacts: Sequence[int]) -> str:
    if person.address is None:
        return f"contact {person.contact_id}"
    ids = ", ".join(map(str, contacts))
    return f"the contacts with this address ({ids})" if ids else "the address"


def _write_json(erasure: "Erasure", vacuumed: "Vacuumed | None") -> None:
    answer: dict[str, Any] = {"forgotten": vacuumed is not None, **asdict(erasure)}
    if vacuumed:
        answer |= {"vacuumed": vacuumed.done, "notVacuumed": vacuumed.refused}
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
