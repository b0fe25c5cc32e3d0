"""Run all checks and print them as a table, with a remedy for each problem."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from acsync.env_file import find_env_file, unknown_variables
from acsync.errors import AcsyncError, add_account, sanitize
from acsync.local.embedded_postgres import with_database_url
from acsync.preflight.account_checks import check_account
from acsync.preflight.check_result import CheckResult, Status, from_error
from acsync.preflight.database_checks import (
    check_database,
    read_published_counts,
    read_rate_in_use,
)
from acsync.preflight.privacy_checks import check_privacy
from acsync.preflight.samples import SampleWriter, find_left_out
from acsync.settings import Settings

STYLES: dict[Status, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}
# Terminals of at least this width get a separate column for remedies.
WIDE = 140


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
    warnings = sum(result.status == "warning" for result in results)
    console.print(
        f"{len(results)} checks: {len(results) - warnings} ok, {warnings} with a warning. "
        "Nothing was changed.",
        soft_wrap=True,
    )


def _check_everything(
    settings: Settings, account: str | None, writer: SampleWriter | None
) -> Iterator[CheckResult]:
    """Check the database first, because it knows whether a sync is running."""
    from flows.preflight import check_prefect  # noqa: PLC0415  # Prefect takes seconds to import

    yield from check_environment()
    yield from _guard("Postgres", lambda: check_database(settings))
    in_use = read_rate_in_use(settings)
    published = read_published_counts(settings)
    yield from _guard("ActiveCampaign", lambda: check_account(settings, *in_use, writer, published))
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
