"""Run all checks and print them as a table, with a remedy for each problem."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acsync.cli.options import AccountName, console, settings_of
from acsync.env_file import find_env_file, unknown_variables
from acsync.errors import AcsyncError, add_account, sanitize
from acsync.preflight.check_result import CheckResult, Status, from_error
from acsync.settings import ACCOUNT, DATABASE, SCHEDULE, Settings

if TYPE_CHECKING:
    from acsync.preflight.samples import SampleWriter

STYLES: dict[Status, str] = {
    "ok": "green",
    "unknown": "cyan",
    "warning": "yellow",
    "problem": "bold red",
}
# Terminals of at least this width get a separate column for remedies.
WIDE = 140


def check(
    account: AccountName = None,
    save_samples: Annotated[
        Path | None,
        typer.Option(help="Save the account's answers in this folder, with every value replaced."),
    ] = None,
) -> None:
    """Check everything that a sync needs, without changing anything."""
    settings = settings_of(account, DATABASE + ACCOUNT + SCHEDULE)
    run_check(console, settings, account, save_samples)


def run_check(
    console: Console,
    settings: Settings,
    account: str | None = None,
    samples: Path | None = None,
) -> None:
    """Run all checks and print them; raises AcsyncError if a sync would fail.

    A check changes nothing, so the embedded Postgres is not started.

    `account` is the block that the settings came from, `samples` a folder to save the answers of
    the account in.
    """
    from acsync.local.embedded_postgres import with_database_url
    from acsync.preflight.samples import SampleWriter, find_left_out

    settings = with_database_url(settings, start=False)
    writer = SampleWriter(samples, find_left_out(settings)) if samples else None
    with console.status("Checking the database, the account and Prefect …"):
        results = list(_check_everything(settings, account, writer))
    console.print(_table(results, console.width))
    if writer:
        console.print(f"Saved {len(writer.written)} samples, without your data, in {samples}.")
    if problems := [result.check for result in results if result.status == "problem"]:
        raise AcsyncError(
            f"{len(problems)} of {len(results)} checks found a problem: {', '.join(problems)}. "
            "Nothing was changed.",
            "Follow the remedies in the table, then run again: acsync check",
        )
    counts = Counter(result.status for result in results)
    console.print(
        f"{len(results)} checks: {counts['ok']} ok, {counts['warning']} with a warning"
        f"{f', {unknown} unknown' if (unknown := counts['unknown']) else ''}. "
        "Nothing was changed.",
        soft_wrap=True,
    )


def _check_everything(
    settings: Settings, account: str | None, writer: "SampleWriter | None"
) -> Iterator[CheckResult]:
    """Check the database first, because it knows whether a sync is running."""
    from acsync.preflight.account_checks import check_account
    from acsync.preflight.database_checks import check_database, read_known
    from acsync.preflight.privacy_checks import check_privacy
    from flows.preflight import check_prefect

    yield from check_environment()
    yield from _guard("Postgres", lambda: check_database(settings))
    known = read_known(settings)
    yield from _guard("ActiveCampaign", lambda: check_account(settings, known, writer))
    yield from _guard("privacy rules", lambda: check_privacy(settings))
    yield from _guard("Prefect API", lambda: check_prefect(account))


def check_environment() -> Iterator[CheckResult]:
    """Name the `.env` that was read, and misspelt variables."""
    if path := find_env_file():
        yield CheckResult("environment", "ok", f"{path} was read; variables that were set win.")
    for sentence in unknown_variables():
        yield CheckResult("environment", "warning", sentence, "Correct its name, or unset it.")


def _guard(check: str, run: Callable[[], Iterable[CheckResult]]) -> Iterator[CheckResult]:
    """Keep going if a check fails unexpectedly; its error may quote secrets, so name its type."""
    try:
        yield from run()
    except AcsyncError as error:
        yield from_error(check, error)
    except Exception as error:  # noqa: BLE001  # see above
        seen = f"The check failed unexpectedly ({type(error).__name__})."
        remedy = "Try again; if it happens again, report it as a bug."
        yield CheckResult(check, "problem", seen, remedy)


def _table(results: Sequence[CheckResult], width: int) -> Table:
    """Show remedies in a third column, or below the findings on a narrow terminal."""
    wide = width >= WIDE
    table = Table("check", "result")
    for header in ["what was seen", "what to do"] if wide else ["what was seen"]:
        table.add_column(header, overflow="fold")
    for result in results:
        seen, remedy = sanitize(result.seen), sanitize(add_account(result.remedy))
        cells = [seen, remedy] if wide else [f"{seen}\n→ {remedy}" if remedy else seen]
        status = Text(result.status, style=STYLES[result.status])
        table.add_row(sanitize(result.check), status, *cells)
    return table
