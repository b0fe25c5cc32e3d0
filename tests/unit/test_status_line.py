"""A logged sync is one line in `acsync status`, in `acsync up`, and after a lost Prefect run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from acsync.cli.status import status_lines
from acsync.cli.sync import PREFECT_MISSED_IT, logged_line
from acsync.errors import AcsyncError, SyncFailed
from acsync.results import Changes, DatasetResult
from acsync.store.sync_history import SyncRecord
from acsync.store.sync_status import PublishedDataset, SyncStatus
from acsync.sync.report import advice, sync_line

COMPLETE = SyncRecord(
    sync_id="sync-1",
    started=datetime(2026, 1, 1, tzinfo=UTC),
    duration_ms=385_520,
    success=True,
    datasets={
        "contacts": DatasetResult(changes=Changes(82_000, 0, 0, 0, 0)),
        "deals": DatasetResult(changes=Changes(75_000, 0, 0, 0, 0)),
    },
)
FAILED = replace(
    COMPLETE,
    success=False,
    datasets={"deals": DatasetResult(error="status 403\x1b[2J. Check AC_API_KEY.")},
)


def test_a_line_has_the_result_the_seconds_and_each_dataset() -> None:
    """Datasets that were not requested are left out, and foreign text is made harmless."""
    assert sync_line(COMPLETE) == "sync-1: complete after 385.5 s; 82,000 contacts; 75,000 deals"
    assert sync_line(FAILED) == (
        "sync-1: not complete after 385.5 s; deals: status 403\ufffd[2J. Check AC_API_KEY."
    )
    assert sync_line(replace(COMPLETE, success=None)) == "sync-1: running"


def test_a_reason_of_both_datasets_is_said_once() -> None:
    """A short line has no advice, which would repeat for each failed sync."""
    advised = DatasetResult(False, error="Status 403. Check AC_API_KEY.")
    both = replace(FAILED, datasets={"contacts": advised, "deals": advised})

    assert sync_line(both).endswith("; contacts and deals: Status 403. Check AC_API_KEY.")
    assert sync_line(both, is_short=True).endswith("; contacts and deals: Status 403")
    assert advice(both) == "Check AC_API_KEY."


def test_the_status_has_ages_and_one_line_per_sync() -> None:
    """Operators ask how old the data is, not at which time it was read."""
    started = COMPLETE.started
    failed = replace(FAILED, started=started + timedelta(minutes=16))
    published = PublishedDataset(82_000, started, started, started)
    status = SyncStatus(failed, None, (failed, COMPLETE), {}, {"contacts": published})

    lines = [*status_lines(status, ("contacts", "deals"), started + timedelta(minutes=20))]

    assert lines == [
        "contacts: 82,000 records, read 20 min ago (2026-01-01 00:00:00 UTC)",
        "deals: nothing published yet",
        "Last syncs, newest first:",
        "  4 min ago (2026-01-01 00:16:00 UTC)    sync-1: not complete after 385.5 s; "
        "deals: status 403\ufffd[2J",
        "  20 min ago (2026-01-01 00:00:00 UTC)   sync-1: complete after 385.5 s; "
        "82,000 contacts; 75,000 deals",
        "What to do: Check AC_API_KEY.",
    ]


def test_a_run_lost_by_prefect_is_judged_by_its_log_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A complete sync is a success, and standard error says that Prefect lost the run."""
    line = logged_line(COMPLETE)

    assert (line, capsys.readouterr().err) == (sync_line(COMPLETE), PREFECT_MISSED_IT)
    with pytest.raises(SyncFailed, match="deals: status 403"):
        logged_line(FAILED)
    with pytest.raises(AcsyncError, match="Prefect's API does not answer"):
        logged_line(None)
