"""Show a sync in Prefect: name and tags, progress, report, and a short log.

An outage of Prefect's server must not fail a sync whose data is right. If something cannot be
shown, a warning is logged.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.runtime import deployment, flow_run
from prefect.variables import Variable

from acsync.datasets import DatasetName
from acsync.errors import AcsyncError
from acsync.readings import Slice
from acsync.results import SyncResult
from acsync.settings import Settings
from acsync.store.database import open_database
from acsync.store.sync_status import read_data_age
from acsync.sync.job import Job
from acsync.sync.report import report_markdown, report_summary
from flows.automations import variable_name

STEP_PERCENT = 5.0
SCHEMA_CHANGED = "acsync.schema.changed"

logger = logging.getLogger(__name__)


@contextmanager
def warn_on_failure(what: str) -> Iterator[None]:
    """Log any error of Prefect's client as a warning; it can raise HTTP and OS errors too."""
    try:
        yield
    except Exception as error:
        logger.warning("Prefect did not take the %s (%s)", what, type(error).__name__)
        logger.debug("because of", exc_info=error)


def prefect_is_away() -> bool:
    """Return whether Prefect's API does not answer."""
    with get_client(sync_client=True) as client:
        return client.api_healthcheck() is not None


def label_flow_run(settings: Settings, datasets: Sequence[DatasetName]) -> str:
    """Name the flow run for its account and minute, tag it, and return the name.

    The datasets are tags of the run, not of its tasks: for each tag of a task, Prefect's server is
    asked for a slot, and an outage of the server would fail the task.
    """
    name = f"{settings.account_host} {datetime.now(UTC):%Y-%m-%d %H:%M} {flow_run.name}"
    with warn_on_failure("name of the run"), get_client(sync_client=True) as client:
        tags = list(dict.fromkeys([*flow_run.tags, settings.account_host, *datasets]))
        client.update_flow_run(UUID(flow_run.id), name=name, tags=tags)
    return name


class Progress:
    """One progress artifact per dataset, updated in steps to spare the server."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._total = {job.dataset: sum(part.records for part in job.plan.slices) for job in jobs}
        # An earlier sync may have copied some of the slices.
        self._copied = {
            job.dataset: self._total[job.dataset] - sum(part.records for part in job.slices)
            for job in jobs
        }
        self._shown = dict.fromkeys(self._total, 0.0)
        self._artifacts: dict[DatasetName, UUID] = {}
        for name in self._total:
            with warn_on_failure(f"progress of the {name}"):
                self._artifacts[name] = create_progress_artifact(
                    self._percent(name), key=f"acsync-{name}", description=f"{name} copied"
                )  # type: ignore[assignment]  # an awaitable only when called from async code

    def advance(self, done: Slice) -> None:
        """Count the records of one more slice."""
        name = done.dataset
        self._copied[name] += done.records
        percent = self._percent(name)
        if percent - self._shown[name] >= STEP_PERCENT or percent == 100:
            self._shown[name] = percent
            self._update(name, percent)

    def _percent(self, name: DatasetName) -> float:
        return 100 * self._copied[name] / self._total[name]

    def _update(self, name: DatasetName, percent: float) -> None:
        """Show the progress. Stop after the first failure, since each try takes a minute."""
        if artifact := self._artifacts.pop(name, None):
            with warn_on_failure(f"progress of the {name}"):
                update_progress_artifact(artifact, percent)
                self._artifacts[name] = artifact


def save_report(result: SyncResult) -> None:
    """Keep the report with the flow run."""
    with warn_on_failure("report"):
        create_markdown_artifact(
            report_markdown(result), key="acsync-report", description=report_summary(result)
        )


def emit_field_changes(result: SyncResult) -> None:
    """Emit an event with the new, changed and vanished custom fields, for automations."""
    changes: dict[str, Any] = {
        name: [
            {"change": change.kind, "column": change.column, **asdict(change.field)}
            for change in dataset.fields
        ]
        for name, dataset in result.datasets.items()
        if dataset.fields
    }
    if changes:
        with warn_on_failure("event"):
            resource = {
                "prefect.resource.id": f"acsync.account.{result.account}",
                "prefect.resource.name": result.account,
            }
            emit_event(SCHEMA_CHANGED, resource, payload={"sync_id": result.sync_id, **changes})


def describe_data_age(settings: Settings) -> str:
    """Return a sentence with the age of the published data, or an empty text if unknown."""
    try:
        with closing(open_database(settings)) as database:
            ages = read_data_age(database)
    except AcsyncError:
        return ""
    published = [f"{name} of {read_from:%Y-%m-%d %H:%M %Z}" for name, read_from in ages.items()]
    return f"Still published: {', '.join(published)}." if published else ""


def save_data_age(settings: Settings, sentence: str) -> None:
    """Save the account and its data's age for alerts about later runs that crash."""
    if deployment.name:
        with warn_on_failure("age of the data"):
            value = {"account": settings.account_host, "published": sentence}
            Variable.set(variable_name(deployment.name), value, overwrite=True)


def hide_routine_log_lines() -> None:
    """Drop the lines that Prefect logs at the end of each of some 200 tasks."""
    logging.getLogger("prefect.task_runs").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    # The timeline shows how tasks ended, and a failed task has logged its error. Prefect also
    # warns that threads cannot be interrupted. But each HTTP call has its own timeout, so a task's
    # timeout is never far off.
    is_end = record.msg.startswith("Finished in state")
    return not is_end and "running in a worker thread" not in record.msg
