"""Compare random records with the account, and print ids and field names, never values."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from acsync import logs
from acsync.datasets import DatasetName
from acsync.errors import sanitize
from acsync.settings import Settings
from acsync.store.database import open_database
from acsync.sync.account_verification import (
    describe_wait,
    name_some,
    require_equal,
    verify_copy,
)
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


def run_verify(
    console: Console,
    settings: Settings,
    only: DatasetName | None,
    sample: int,
    as_json: bool,
    wait: bool,
) -> None:
    """Verify and print the result; raises AcsyncError if a record is different."""
    names = (only,) if only else settings.datasets
    logs.note(f"Reading up to {sample:,} random {' and '.join(names)} one by one …")
    with closing(open_database(settings)) as database:
        report = verify_copy(settings, database, names, sample, _tell if wait else None)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        console.print(_table(report.checks))
        for line in [*_record_lines(report.checks), *report.notes]:
            console.print(sanitize(line), soft_wrap=True)
        console.print(f"{report.calls:,} calls in {report.seconds:.0f} s.")
    require_equal(settings.schema_name, report.checks)


def _tell(undecided: Mapping[DatasetName, int], patience: timedelta) -> None:
    logs.note(f"{describe_wait(undecided, patience)} To stop there instead, use --no-wait.")


def _table(checks: Sequence[SpotCheck]) -> Table:
    """Return one row per verdict, so that a narrow terminal shows every word."""
    table = Table("records")
    for check in checks:
        table.add_column(check.name, justify="right")
    counts = [asdict(check.counts) for check in checks]
    for key, verdict in VERDICTS.items():
        table.add_row(verdict, *(f"{each[key]:,}" for each in counts))
    return table


def _record_lines(checks: Sequence[SpotCheck]) -> Iterator[str]:
    """Yield a line per different record, and one for all undecided records of a dataset."""
    for check in checks:
        for record_id, fields in check.fields_of("different").items():
            yield f"different: {check.name} {record_id}: {', '.join(fields)}"
        if undecided := check.fields_of("undecided"):
            ids = name_some([*map(str, undecided)])
            yield (
                f"undecided: {check.name} {ids}. They differ, and no date and no later full sync "
                "tells whether they changed since they were copied."
            )
