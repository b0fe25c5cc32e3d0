"""Try everything a sync needs, and show what to do about each problem; nothing is changed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from acsync.cli.prefect_logging import quiet_prefect
from acsync.errors import AcsyncError, sanitize
from acsync.preflight.account import inspect_account
from acsync.preflight.checks import Finding, Standing, from_error
from acsync.preflight.database import inspect_database, read_past
from acsync.settings import Settings

STYLES: dict[Standing, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}
WIDE = 140
"""Columns from which on a remedy has a column of its own."""


def run_check(console: Console, settings: Settings, account: str | None = None) -> None:
    """Run all checks, print them, and raise AcsyncError where a sync would fail.

    `account` is the block that the settings were read from.
    """
    with console.status("Looking at the database, the account and Prefect …"):
        findings = list(_inspect(settings, account))
    console.print(_table(findings, console.width))
    counts = Counter(finding.standing for finding in findings)
    console.print(
        f"{len(findings)} checks: {counts['ok']} ok, {counts['warning']} with a warning, "
        f"{counts['problem']} with a problem. Nothing was changed.",
        soft_wrap=True,
    )
    if problems := [finding.check for finding in findings if finding.standing == "problem"]:
        raise AcsyncError(
            f"{len(problems)} of {len(findings)} checks found a problem: {', '.join(problems)}. "
            "Do what the table says beside each, then run: acsync check"
        )


def _inspect(settings: Settings, account: str | None) -> Iterator[Finding]:
    """Look at the database first: it knows whether a sync is running."""
    quiet_prefect()
    from flows.preflight import inspect_prefect  # noqa: PLC0415  # takes seconds

    yield from _guard("Postgres", lambda: inspect_database(settings.database))
    past = read_past(settings.database)
    yield from _guard(
        "ActiveCampaign",
        lambda: inspect_account(settings, past.learned_rate, past.running_sync),
    )
    yield from _guard("Prefect", lambda: inspect_prefect(account))


def _guard(check: str, inspect: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Let no check that breaks hide the others, nor show what its error may quote."""
    try:
        yield from inspect()
    except AcsyncError as error:
        yield from_error(check, error)
    except Exception as error:  # noqa: BLE001  # as the docstring says; Prefect's are httpx's
        seen = f"The check broke off ({type(error).__name__})."
        yield Finding(check, "problem", seen, "Try again; if it stays, report it as a bug.")


def _table(findings: Sequence[Finding], width: int) -> Table:
    """Put each remedy in a column of its own, or where that is too narrow, under what was seen."""
    wide = width >= WIDE
    table = Table("check", "result")
    for header in ["what was seen", "what to do"] if wide else ["what was seen"]:
        table.add_column(header, overflow="fold")
    for finding in findings:
        seen, remedy = sanitize(finding.seen), sanitize(finding.remedy)
        cells = [seen, remedy] if wide else [f"{seen}\n→ {remedy}" if remedy else seen]
        result = Text(finding.standing, style=STYLES[finding.standing])
        table.add_row(sanitize(finding.check), result, *cells)
    return table
