"""Compare random records with the account, and print ids and field names, never values."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from acsync import logs
from acsync.activecampaign.account_settings import read_subscriber_total
from acsync.activecampaign.client import Client
from acsync.datasets import DatasetName
from acsync.errors import AccessDenied, AccountError, AcsyncError, StoreError, sanitize
from acsync.settings import Settings
from acsync.store.database import VERSIONS, Database, open_database, require_current_schema
from acsync.store.interval import read_interval
from acsync.store.schema_owner import require_account
from acsync.store.verification import record_verification
from acsync.sync.account_reader import open_reader
from acsync.sync.completeness import count_tolerated
from acsync.sync.spot_check import SpotCheck, check_sample, decide
from acsync.web.freshness import describe

# Records that an error names.
NAMED_RECORDS = 20

HEADERS = {
    "sampled": "records",
    "equal": "equal",
    "changed": "changed since",
    "deleted": "deleted since",
    "masked": "masked",
    "undecided": "undecided",
    "different": "different",
}


@dataclass(frozen=True)
class Report:
    """The result of one verification: a check per dataset, notes, calls and seconds."""

    checks: Sequence[SpotCheck]
    subscriber_total: int | None
    notes: Sequence[str]
    calls: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the result for programs: counts, ids and field names."""
        return {
            "verifiedAt": datetime.now(UTC).isoformat(),
            "calls": self.calls,
            "seconds": round(self.seconds, 1),
            "datasets": {
                check.name: {
                    **asdict(check.counts),
                    "undecidedFields": _by_id(check.fields_of("undecided")),
                    "differentFields": _by_id(check.fields_of("different")),
                    "publishedRecords": check.published,
                    "accountRecords": check.counted,
                    "createdSince": check.created,
                    "leftOut": check.left_out,
                }
                for check in self.checks
            },
            "subscriberTotal": self.subscriber_total,
            "notes": list(self.notes),
        }


def _by_id(fields: Mapping[int, Sequence[str]]) -> dict[str, list[str]]:
    return {str(key): list(map(sanitize, names)) for key, names in fields.items()}


def run_verify(
    console: Console,
    settings: Settings,
    only: DatasetName | None,
    sample: int,
    as_json: bool,
    wait: bool,
) -> None:
    """Verify and print the result; raises AcsyncError if a record is different."""
    with closing(open_database(settings)) as database:
        require_current_schema(database)
        require_account(database, settings.account_name)
        report = _verify(settings, database, (only,) if only else settings.datasets, sample, wait)
        for check in report.checks:
            _keep(database, check)
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), indent=2) + "\n")
    else:
        console.print(_table(report.checks))
        for line in [*_record_lines(report.checks), *report.notes]:
            console.print(sanitize(line), soft_wrap=True)
        console.print(f"{report.calls:,} calls in {report.seconds:.0f} s.")
    _require_equal(settings.schema_name, report.checks)


def _verify(
    settings: Settings, database: Database, names: Sequence[DatasetName], sample: int, wait: bool
) -> Report:
    started = time.monotonic()
    with open_reader(settings, database) as reader:
        logs.note(f"Reading up to {sample:,} random {' and '.join(names)} one by one …")
        found = (check_sample(reader, name, sample) for name in names)
        checks = [check for check in found if check]
        if not checks:
            raise AcsyncError(
                f"No {' or '.join(names)} are published, so nothing can be verified.",
                "Run: acsync sync",
            )
        notes = [note for check in checks for note in _count_notes(check)]
        total, note = _read_total(reader.client)
        if wait:
            with database.begin() as connection:
                # The next full sync starts within one interval and ends within another.
                patience = 2 * read_interval(connection)
            decide(reader, checks, partial(_tell, patience), patience)
        calls = reader.client.rate_limiter.counts.calls
    return Report(checks, total, [*notes, note], calls, time.monotonic() - started)


def _tell(patience: timedelta, undecided: Mapping[DatasetName, int]) -> None:
    counts = " and ".join(f"{count:,} {name}" for name, count in undecided.items())
    logs.note(
        f"{counts} differ, and may have changed since they were copied. Waiting for the next full "
        f"sync to tell, at most {describe(patience)}. To stop there instead, use --no-wait."
    )


def _count_notes(check: SpotCheck) -> Iterator[str]:
    """Compare the account's total with the copy, and allow for records created since."""
    name, counted = check.name, check.counted
    if check.unlike:
        yield (
            f"Not compared in {name}: {', '.join(sorted(check.unlike))}. They differ in nearly "
            "every record, so ActiveCampaign seems to send them in another form singly."
        )
    if counted is None:
        yield f"The account does not say how many {name} it has."
        return
    note = (
        f"The account counts {counted:,} {name}, the copy has {check.published:,}, and "
        f"{check.created:,} newer ones were created since."
    )
    if check.left_out:
        note += f" {check.left_out:,} are left out, because acsync forget has removed them."
    unexplained = counted - check.published - check.created - check.left_out
    if abs(unexplained) > count_tolerated(counted):
        note += f" The next full sync will judge the other {unexplained:+,}."
    yield note


def _read_total(client: Client) -> tuple[int | None, str]:
    """Return the account's own count of contacts, and a note about it."""
    try:
        total = read_subscriber_total(client)
    except AccessDenied:
        return None, "The key has no right to read subscriber_total of /settings/account."
    except AccountError as error:
        return None, f"subscriber_total of /settings/account is not known: {error.message}"
    return total, f"subscriber_total of /settings/account: {total:,} contacts."


def _keep(database: Database, check: SpotCheck) -> None:
    try:
        record_verification(database, check.name, check.counts)
    except StoreError as error:
        logs.warn(f"The result for the {check.name} is not kept. {error}")


def _table(checks: Sequence[SpotCheck]) -> Table:
    table = Table("dataset")
    for header in HEADERS.values():
        table.add_column(header, justify="right")
    for check in checks:
        counts = asdict(check.counts)
        table.add_row(check.name, *(f"{counts[key]:,}" for key in HEADERS))
    return table


def _record_lines(checks: Sequence[SpotCheck]) -> Iterator[str]:
    """Yield a line per different record, and one for all undecided records of a dataset."""
    for check in checks:
        for record_id, fields in check.fields_of("different").items():
            yield f"different: {check.name} {record_id}: {', '.join(fields)}"
        if undecided := check.fields_of("undecided"):
            ids = ", ".join(map(str, undecided))
            yield (
                f"undecided: {check.name} {ids}. They differ, and no date and no later full sync "
                "tells whether they changed since they were copied."
            )


def _require_equal(schema: str, checks: Sequence[SpotCheck]) -> None:
    """Raise AcsyncError with ids and fields if a record is different."""
    wrong = [
        f"{check.name} {record_id} ({', '.join(fields)})"
        for check in checks
        for record_id, fields in check.fields_of("different").items()
    ]
    if not wrong:
        return
    shown = wrong[:NAMED_RECORDS]
    more = f", and {len(wrong) - len(shown):,} more" if len(wrong) > len(shown) else ""
    verb = "record differs" if len(wrong) == 1 else "records differ"
    raise AcsyncError(
        f"{len(wrong):,} {verb} from the account and did not change since: "
        f"{', '.join(shown)}{more}.",
        f"Find out which program wrote to acsync's tables. To let the next full sync write the "
        f"records again, as the owner: {' '.join(_repairs(schema, checks))}",
    )


def _repairs(schema: str, checks: Sequence[SpotCheck]) -> Iterator[str]:
    """Yield SQL that makes the next sync take the different records for changed."""
    for check in checks:
        if ids := ", ".join(map(str, check.fields_of("different"))):
            yield (
                f"update {schema}.{VERSIONS[check.name]} set hash = '' where valid_to is null and "
                f"record_id in ({ids});"
            )
