"""Verify the copy against the account, keep the counts, and say what is wrong with it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from acsync import logs
from acsync.activecampaign.account_facts import read_subscriber_total
from acsync.activecampaign.client import Client
from acsync.datasets import DatasetName
from acsync.errors import AccessDenied, AccountError, AcsyncError, StoreError, sanitize
from acsync.settings import Settings
from acsync.spelling import spell, spell_count
from acsync.store.database import VERSIONS, Database, require_current_schema
from acsync.store.interval import read_interval
from acsync.store.schema_owner import require_account
from acsync.store.verification import record_verification
from acsync.sync.account_reader import open_reader
from acsync.sync.completeness import count_tolerated
from acsync.sync.spot_check import SpotCheck, check_sample, decide

# Records that a message names.
NAMED_RECORDS = 20

# Called with the number of undecided records and the longest time to wait for a full sync.
Tell: TypeAlias = Callable[[Mapping[DatasetName, int], timedelta], object]


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


def verify_copy(
    settings: Settings,
    database: Database,
    names: Sequence[DatasetName],
    sample: int,
    tell: Tell | None,
) -> Report:
    """Compare random records with the account, and keep the counts.

    `tell` is called before each wait for a full sync; without it, undecided records stay so.
    """
    started = time.monotonic()
    require_current_schema(database)
    require_account(database, settings.account_name)
    with open_reader(settings, database) as reader:
        samples = (check_sample(reader, name, sample) for name in names)
        checks = [check for check in samples if check]
        if not checks:
            raise AcsyncError(
                f"No {' or '.join(names)} are published, so nothing can be verified.",
                "Run: acsync sync",
            )
        notes = [note for check in checks for note in _count_notes(check)]
        total = None
        for check in checks:
            if check.name == "contacts":
                total, note = _read_second_witness(reader.client, check)
                notes.append(note)
        if tell:
            with database.begin() as connection:
                # The next full sync starts within one interval and ends within another.
                patience = 2 * read_interval(connection)
            decide(reader, checks, lambda undecided: tell(undecided, patience), patience)
        calls = reader.client.rate_limiter.counts.calls
    for check in checks:
        _keep(database, check)
    return Report(checks, total, notes, calls, time.monotonic() - started)


def describe_wait(undecided: Mapping[DatasetName, int], patience: timedelta) -> str:
    """Say why a verification waits for a full sync, and for how long."""
    counts = " and ".join(f"{count:,} {name}" for name, count in undecided.items())
    return (
        f"{counts} differ, and may have changed since they were copied. Waiting for the next full "
        f"sync to tell, at most {spell(patience)}."
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


def _read_second_witness(client: Client, check: SpotCheck) -> tuple[int | None, str]:
    """Return the count of contacts that the account bills, and how it compares with the copy."""
    try:
        total = read_subscriber_total(client)
    except AccessDenied:
        return None, "The key has no right to read subscriber_total of /settings/account."
    except AccountError as error:
        return None, f"subscriber_total of /settings/account is not known: {error.message}"
    difference = total - check.published - check.created - check.left_out
    as_expected = "as many as expected" if not difference else f"{difference:+,} to the copy"
    contacts = spell_count(total, "contact")
    return total, f"subscriber_total of /settings/account: {contacts}, {as_expected}."


def _keep(database: Database, check: SpotCheck) -> None:
    try:
        record_verification(database, check.name, check.counts)
    except StoreError as error:
        logs.warn(f"The result for the {check.name} is not kept. {error}")


def require_equal(schema: str, checks: Sequence[SpotCheck]) -> None:
    """Raise AcsyncError with ids and fields if a record is different."""
    wrong = [
        f"{check.name} {record_id} ({', '.join(fields)})"
        for check in checks
        for record_id, fields in check.fields_of("different").items()
    ]
    if not wrong:
        return
    verb = "record differs" if len(wrong) == 1 else "records differ"
    raise AcsyncError(
        f"{len(wrong):,} {verb} from the account and did not change since: {name_some(wrong)}.",
        f"Find out which program wrote to acsync's tables. To let the next full sync write the "
        f"records again, as the owner: {' '.join(_repairs(schema, checks))}",
    )


def name_some(records: Sequence[str]) -> str:
    """Return a list of records that is short enough for a message."""
    shown = ", ".join(records[:NAMED_RECORDS])
    more = len(records) - NAMED_RECORDS
    return f"{shown}, and {more:,} more" if more > 0 else shown


def _repairs(schema: str, checks: Sequence[SpotCheck]) -> Iterator[str]:
    """Yield SQL that makes the next sync take the different records for changed."""
    for check in checks:
        if ids := ", ".join(map(str, check.fields_of("different"))):
            yield (
                f"update {schema}.{VERSIONS[check.name]} set hash = '' where valid_to is null and "
                f"record_id in ({ids});"
            )
