"""Tell in Prefect what a sync does: progress and a report, as artifacts."""

from collections.abc import Sequence
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)

from acsync.activecampaign.slices import Plan
from acsync.datasets import DatasetName
from acsync.outcome import SyncOutcome
from acsync.report import calls_line, report_markdown

STEP_PERCENT = 5.0


class Progress:
    """One progress artifact a dataset, updated in steps so as not to flood the server."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._slices = {plan.dataset: len(plan.slices) for plan in plans}
        self._copied = dict.fromkeys(self._slices, 0)
        self._shown = dict.fromkeys(self._slices, 0.0)
        self._artifacts: dict[DatasetName, UUID] = {
            plan.dataset: create_progress_artifact(
                0.0, key=f"acsync-{plan.dataset}", description=f"{plan.dataset} copied"
            )  # type: ignore[misc]  # an awaitable only when called from async code
            for plan in plans
        }

    def advance(self, dataset: DatasetName) -> None:
        """Count one more slice of a dataset."""
        self._copied[dataset] += 1
        percent = 100 * self._copied[dataset] / self._slices[dataset]
        if percent - self._shown[dataset] >= STEP_PERCENT or percent == 100:
            self._shown[dataset] = percent
            update_progress_artifact(self._artifacts[dataset], percent)


def publish_report(outcome: SyncOutcome) -> None:
    """Keep the report with the flow run."""
    create_markdown_artifact(
        report_markdown(outcome), key="acsync-report", description=calls_line(outcome)
    )
