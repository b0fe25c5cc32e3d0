"""The options that several commands share, and the settings that they name."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from acsync import logs
from acsync.env_file import unknown_variables
from acsync.errors import use_account
from acsync.settings import ACCOUNT, DATABASE, LOGS, Settings, read_settings

T = TypeVar("T")

# Results go to standard output, errors to standard error. Text of others is never markup.
console = Console(markup=False, emoji=False, highlight=False)


def _use_account(name: str | None) -> str | None:
    use_account(name)
    return name


AccountName = Annotated[
    str | None,
    typer.Option(
        "--account", callback=_use_account, help="Take the credentials from this Prefect block."
    ),
]
Contacts = Annotated[int, typer.Option(min=0, help="Contacts in the simulated account.")]
Deals = Annotated[int, typer.Option(min=0, help="Deals in the simulated account.")]
Rate = Annotated[float, typer.Option(min=0.1, help="Calls per second that it allows.")]


def read_option(name: str, read: Callable[[str], T], text: str | None) -> T | None:
    """Return the value of an option, None without one; raises BadParameter if it is wrong."""
    try:
        return read(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(f"{name} {error}") from None


def settings_of(account: str | None, variables: Sequence[str] = DATABASE + ACCOUNT) -> Settings:
    """Read these variables, or the fields of the account's block; raises SettingsError."""
    variables = (*variables, *LOGS)
    if account is None:
        return read_settings(variables)
    from flows import blocks

    return blocks.read_block_settings(account, variables)


def database_of(account: str | None, variables: Sequence[str] = DATABASE) -> Settings:
    """Read the settings likewise, and start the embedded Postgres if they have no URL."""
    from acsync.local.embedded_postgres import with_database_url

    return with_database_url(settings_of(account, variables))


def warn_of_unknown_variables() -> None:
    """Name misspelt variables on standard error; nothing fails because of them."""
    for sentence in unknown_variables():
        logs.warn(sentence)
