"""Run the flow in this process, and show it to the person who waits."""

import sys
from collections.abc import Sequence

from rich.console import Console

from acsync.cli.prefect_logging import quiet_prefect
from acsync.cli.progress import watch_progress
from acsync.errors import AcsyncError, LeaseHeld, SyncFailed
from acsync.models import DatasetName, SyncResult
from acsync.settings import DatabaseSettings
from acsync.sync.report import report_lines

UNTOLD = (
    "Prefect could not be told how this sync ended: its API does not answer, and the run there "
    "stays unfinished. What it published stays. Check the server of PREFECT_API_URL.\n"
)


def run_sync(
    console: Console,
    settings: DatabaseSettings,
    only: DatasetName | None = None,
    accept_shrink: bool = False,
    account: str | None = None,
) -> SyncResult:
    """Make one sync; raises LeaseHeld, or AcsyncError with the reason where it failed."""
    quiet_prefect()
    outcome = _run_flow(console, settings, only, accept_shrink, account)
    for line in report_lines(outcome):
        console.print(line, highlight=False, soft_wrap=True)
    return outcome


def _run_flow(
    console: Console,
    settings: DatabaseSettings,
    only: DatasetName | None,
    accept_shrink: bool,
    account: str | None,
) -> SyncResult:
    from flows.reporting import hear_outcomes, prefect_is_away  # noqa: PLC0415  # as above
    from flows.sync_activecampaign import (  # noqa: PLC0415  # after run_sync's settings
        TURNED_AWAY,
        sync_activecampaign,
    )

    with hear_outcomes() as heard, watch_progress(console, settings):
        try:
            state = sync_activecampaign(only, accept_shrink, account, return_state=True)
        except Exception:
            if not heard and not prefect_is_away():
                raise
            return _take_heard(heard)
    if state.name == TURNED_AWAY:
        raise LeaseHeld(state.message or "another sync is running")
    outcome = state.result(raise_on_failure=False)
    if not isinstance(outcome, SyncResult):
        raise outcome if isinstance(outcome, AcsyncError) else AcsyncError(state.message or "")
    return outcome


def _take_heard(heard: Sequence[SyncResult]) -> SyncResult:
    """Give the outcome that Prefect could not be told; raises AcsyncError where there is none."""
    if not heard:
        raise AcsyncError(
            "Prefect's API does not answer, so nothing was copied or the reason of a failure was "
            "lost. Check the server of PREFECT_API_URL, and what was copied with: acsync status"
        )
    sys.stderr.write(UNTOLD)
    if not heard[-1].success:
        raise SyncFailed(" ".join(report_lines(heard[-1])))
    return heard[-1]
