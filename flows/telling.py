"""Tell in Prefect what a sync does: progress and a report, as artifacts.

A Prefect server that is down for a while must not cost a sync whose data is right: what could
not be told is a warning.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)

from acsync.activecampaign.slices import Plan, Slice
from acsync.datasets import DatasetName
from acsync.outcome import SyncOutcome
from acsync.report import calls_line, report_markdown

STEP_PERCENT = 5.0

logger = logging.getLogger(__name__)


@contextmanager
def _if_possible(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001  # Prefect's client lets HTTP and OS errors through
        logger.warning("Prefect was not told the %s (%s)", what, type(error).__name__)


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


def publish_report(outcome: SyncOutcome) -> None:
    """Keep the report with the flow run."""
    with _if_possible("report"):
        create_markdown_artifact(
            report_markdown(outcome), key="acsync-report", description=calls_line(outcome)
        )
