"""Compare random records with the account, and print ids and field names, never values."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from acsync import logs
from acsync.cli.options import AccountName, console, database_of
from acsync.datasets import DatasetName
from acsync.errors import sanitize
from acsync.settings import ACCOUNT, DATABASE
from acsync.spelling import spell_count

if TYPE_CHECKING:
    from acsync.sync.spot_check import SpotCheck

VERDICTS = {
    "sampled": "compared",
    "equal": "equal",
    "changed": "changed since",
    "deleted": "deleted since",
    "masked": "masked",
    "undecided": "undecided",
    "different": "different",
}


def verify(
    sample: Annotated[
        int, typer.Option(min=1, help="Random records of each dataset to compare.")
    ] = 200,
    only: Annotated[DatasetName | None, typer.Option(help="Verify only this dataset.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait for the next full sync.")
    ] = False,
    account: AccountName = None,
) -> None:
    """Compare random records with the account; print ids and fields, never values."""
    settings = database_of(account, DATABASE + ACCOUNT)
    from acsync.store.database import open_database
    from acsync.sync.account_verification import require_equal, verify_copy

    names = (only,) if only else settings.datasets
    logs.note(f"Reading up to {sample:,} random {' and '.join(names)} one by one …")
    with closing(open_database(settings)) as database:
        report = verify_copy(settings, database, names, sample, None if no_wait else _tell)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        console.print(_table(report.checks))
        for line in [*_record_lines(report.checks), *report.notes]:
            console.print(sanitize(line), soft_wrap=True)
        console.print(f"{spell_count(report.calls, 'call')} in {report.seconds:.0f} s.")
    require_equal(settings.schema_name, report.checks)


def _tell(undecided: Mapping[DatasetName, int], patience: timedelta) -> None:
    from acsync.sync.account_verification import describe_wait

    logs.note(f"{describe_wait(undecided, patience)} To stop there instead, use --no-wait.")


def _table(checks: "Sequence[SpotCheck]") -> Table:
    """Return one row per verdict, so that a narrow terminal shows every word."""
    table = Table("records")
    for check in checks:
        table.add_column(check.name, justify="right")
    counts = [asdict(check.counts) for check in checks]
    for key, verdict in VERDICTS.items():
        table.add_row(verdict, *(f"{each[key]:,}" for each in counts))
    return table


def _record_lines(checks: "Sequence[SpotCheck]") -> Iterator[str]:
    """Yield a line per different record, and one for all undecided records of a dataset."""
    for check in checks:
        for record_id, fields in check.fields_of("different").items():
            yield f"different: {check.name} {record_id}: {', '.join(fields)}"
        if undecided := check.fields_of("undecided"):
            from acsync.sync.account_verification import name_some

            ids = name_some([*map(str, undecided)])
            yield (
                f"undecided: {check.name} {ids}. They differ, and no date and no later full sync "
                "tells whether they changed since they were copied."
            )
