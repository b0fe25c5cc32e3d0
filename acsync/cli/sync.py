"""Run the flow in this process, and show it to the person who waits."""

import os

from rich.console import Console

from acsync.cli.progress import watch_progress
from acsync.datasets import DatasetName
from acsync.errors import AcsyncError, LeaseHeld
from acsync.outcome import SyncOutcome
from acsync.report import report_lines
from acsync.settings import DatabaseSettings


def run_sync(
    console: Console,
    settings: DatabaseSettings,
    only: DatasetName | None = None,
    accept_shrink: bool = False,
) -> SyncOutcome:
    """Make one sync; raises LeaseHeld, or AcsyncError with the reason where it failed."""
    # The progress and the summary say it; Prefect's own lines stay in Prefect.
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    from flows.sync_activecampaign import (  # noqa: PLC0415  # after the settings above
        TURNED_AWAY,
        sync_activecampaign,
    )

    with watch_progress(console, settings):
        state = sync_activecampaign(only, accept_shrink, return_state=True)
    if state.name == TURNED_AWAY:
        raise LeaseHeld(state.message or "another sync is running")
    outcome = state.result(raise_on_failure=False)
    if not isinstance(outcome, SyncOutcome):
        raise outcome if isinstance(outcome, AcsyncError) else AcsyncError(state.message or "")
    for line in report_lines(outcome):
        console.print(line, highlight=False, soft_wrap=True)
    return outcome
