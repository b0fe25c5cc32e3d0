"""Tell in Prefect what a sync does: name and tags, progress, a report, and a recovery.

A Prefect server that is down for a while must not cost a sync whose data is right: what could
not be told is a warning.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.runtime import deployment, flow_run
from prefect.utilities.urls import url_for

from acsync.activecampaign.planning import Plan, Slice
from acsync.errors import AcsyncError
from acsync.models import DatasetName, SyncResult
from acsync.settings import Settings
from acsync.store.database import open_database
from acsync.store.status import read_data_age
from acsync.sync.report import calls_line, report_lines, report_markdown
from flows.notifications import send_alert
from flows.run_history import trouble_before

STEP_PERCENT = 5.0

logger = logging.getLogger(__name__)

_heard: ContextVar[list[SyncResult]] = ContextVar("heard")


@contextmanager
def hear_outcomes() -> Iterator[list[SyncResult]]:
    """Give a list of what the syncs run inside came to, also where Prefect cannot be told."""
    heard: list[SyncResult] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def prefect_is_away() -> bool:
    """Tell whether Prefect's API gives no sign of life."""
    with get_client(sync_client=True) as client:
        return client.api_healthcheck() is not None


@contextmanager
def _if_possible(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Prefect's client lets HTTP and OS errors through
        logger.warning("Prefect was not told the %s (%s)", what, type(error).__name__)
        logger.debug("because of", exc_info=error)


def label_flow_run(settings: Settings, datasets: Sequence[DatasetName]) -> str:
    """Name the flow run for its account and minute, and tag it with account and datasets.

    The datasets are tags of the run, not of its tasks: each tag of a task asks Prefect's server
    for a slot, and a server that is away for a while would then fail the task.
    """
    name = f"{settings.account_host} {datetime.now(UTC):%Y-%m-%d %H:%M} {flow_run.name}"
    with _if_possible("name of the run"), get_client(sync_client=True) as client:
        tags = list(dict.fromkeys([*flow_run.tags, settings.account_host, *datasets]))
        client.update_flow_run(UUID(flow_run.id), name=name, tags=tags)
    return name


class Progress:
    """One progress artifact a dataset, updated in steps so as not to flood the server.

    `wanted` are the slices still to be copied; a dead predecessor may have left some.
    """

    def __init__(self, plans: Sequence[Plan], wanted: Sequence[Slice]) -> None:
        self._slices = {plan.dataset: len(plan.slices) for plan in plans}
        left = Counter(part.dataset for part in wanted)
        self._copied = {name: total - left[name] for name, total in self._slices.items()}
        self._shown = dict.fromkeys(self._slices, 0.0)
        self._artifacts: dict[DatasetName, UUID] = {}
        for dataset in self._slices:
            self._create(dataset)

    def advance(self, dataset: DatasetName) -> None:
        """Count one more slice of a dataset."""
        self._copied[dataset] += 1
        percent = self._percent(dataset)
        if percent - self._shown[dataset] >= STEP_PERCENT or percent == 100:
            self._shown[dataset] = percent
            self._update(dataset, percent)

    def _percent(self, dataset: DatasetName) -> float:
        return 100 * self._copied[dataset] / self._slices[dataset]

    def _create(self, dataset: DatasetName) -> None:
        with _if_possible(f"progress of the {dataset}"):
            self._artifacts[dataset] = create_progress_artifact(
                self._percent(dataset), key=f"acsync-{dataset}", description=f"{dataset} copied"
            )  # type: ignore[assignment]  # an awaitable only when called from async code

    def _update(self, dataset: DatasetName, percent: float) -> None:
        """Show the progress; one that cannot be shown is given up, each try takes a minute."""
        if artifact := self._artifacts.pop(dataset, None):
            with _if_possible(f"progress of the {dataset}"):
                update_progress_artifact(artifact, percent)
                self._artifacts[dataset] = artifact


def publish_report(outcome: SyncResult) -> None:
    """Tell the outcome in this process, and keep the report with the flow run."""
    _heard.get([]).append(outcome)
    with _if_possible("report"):
        create_markdown_artifact(
            report_markdown(outcome), key="acsync-report", description=calls_line(outcome)
        )


def data_age(settings: Settings) -> str:
    """Say of when the published data is, for whoever reads why it is not newer."""
    try:
        with closing(open_database(settings.database)) as database:
            ages = read_data_age(database)
    except AcsyncError:
        return ""
    published = [f"{name} of {synced_at:%Y-%m-%d %H:%M %Z}" for name, synced_at in ages.items()]
    return f"Published are still the {' and the '.join(published)}." if published else ""


def tell_recovery(outcome: SyncResult) -> None:
    """Alert once that all is well again, after scheduled syncs failed or did not come."""
    with _if_possible("recovery"):
        if trouble := trouble_before(deployment.id, flow_run.id):
            news = f"{trouble} This sync is complete."
            run = f"Run: {url_for('flow-run', obj_id=flow_run.id) or flow_run.id}"
            send_alert(
                f"acsync: recovered: {outcome.account}",
                "\n".join([news, "", *report_lines(outcome), "", run]),
            )
