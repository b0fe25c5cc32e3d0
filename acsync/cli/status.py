"""Print the status, for people or as JSON, and fail if the data is too old."""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from acsync.cli.options import AccountName, console, database_of, read_option
from acsync.datasets import DatasetName
from acsync.errors import AcsyncError, sanitize
from acsync.setting_types import parse_duration
from acsync.spelling import spell_age, spell_count

if TYPE_CHECKING:
    from acsync.store.sync_status import PublishedDataset, SyncStatus


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
    max_age: Annotated[
        str | None, typer.Option(help="Fail if the last full sync is older than this: 30m, 2h.")
    ] = None,
    account: AccountName = None,
) -> None:
    """Show what is published, when the next sync is due, and how the last syncs went."""
    settings = database_of(account)
    limit = read_option("--max-age", parse_duration, max_age)
    from acsync.store.database import open_database, require_current_schema
    from acsync.store.sync_status import read_status

    database = open_database(settings)
    require_current_schema(database)
    state = read_status(database)
    database.close()
    if as_json:
        sys.stdout.write(json.dumps(state.as_json(), indent=2) + "\n")
    else:
        for line in status_lines(state, settings.datasets, datetime.now(UTC)):
            console.print(line, soft_wrap=True)
        console.print(f"next sync: {describe_next_start(account)}", soft_wrap=True)
    if limit is not None:
        for name in settings.datasets:
            _require_fresh(name, state.published.get(name), limit)


def _require_fresh(
    name: DatasetName, published: "PublishedDataset | None", limit: timedelta
) -> None:
    """Raise AcsyncError if the last full sync read a record of a dataset before `limit`."""
    if published is None:
        when = "never published"
    elif datetime.now(UTC) - published.proven_from > limit:
        when = f"last read on {published.proven_from:%Y-%m-%d at %H:%M:%S %Z}"
    else:
        return
    raise AcsyncError(f"The {name} were {when}.", "To see why, run: acsync status")


def status_lines(
    status: "SyncStatus", datasets: Sequence[DatasetName], now: datetime
) -> Iterator[str]:
    """Yield what is published, the warnings, the running sync, and one line per last sync."""
    from acsync.sync.report import advice, sync_line
    from acsync.web.freshness import judge

    for dataset in judge(status, datasets, now).datasets:
        if data := dataset.published:
            late = f", {dataset.verdict}" if dataset.verdict != "fresh" else ""
            records = f"{dataset.name}: {spell_count(data.record_count, 'record')}"
            yield f"{records}, {_describe_reading(data, now)}{late}"
        else:
            yield f"{dataset.name}: nothing published yet"
    for warning in status.warnings:
        yield sanitize(f"warning: {warning}")
    if status.running:
        started = _ago(status.running.started, now)
        yield f"running: {status.running.sync_id}, started {started}"
    if status.recent:
        yield "Last syncs, newest first:"
    for sync in status.recent:
        yield f"  {_ago(sync.started, now):37}  {sync_line(sync, is_short=True)}"
    if status.latest and (remedy := advice(status.latest)):
        yield f"What to do: {remedy}"


def _describe_reading(data: "PublishedDataset", now: datetime) -> str:
    read = _ago(data.read_from, now)
    if not data.is_ahead:
        return f"read {read}"
    return f"changes as of {read}, proven complete {_ago(data.verified_at, now)}"


def _ago(moment: datetime, now: datetime) -> str:
    return f"{spell_age(now - moment)} ago ({moment.astimezone(UTC):%F %T} UTC)"


def describe_next_start(account: str | None) -> str:
    """Return when the next scheduled sync is due, or why that is not known."""
    from flows.links import api_url
    from flows.runs import read_next_start

    if not api_url():
        return "not known, because PREFECT_API_URL is not set"
    try:
        next_start = read_next_start(account)
    except AcsyncError as error:
        return f"not known. {error}"
    if next_start is None:
        option = f" --account {account}" if account else ""
        return (
            f"none is scheduled. To schedule syncs, run: acsync deploy{option}; if the deployment "
            "is paused, resume it in Prefect's UI"
        )
    at, now = f"{next_start.astimezone(UTC):%F %T} UTC", datetime.now(UTC)
    if next_start < now:
        return f"was due {spell_age(now - next_start)} ago ({at}), and no worker has taken it"
    return f"due in {spell_age(next_start - now)} ({at})"
