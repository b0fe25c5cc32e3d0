"""A logged sync is one line in `acsync status`, in `acsync up`, and after a lost Prefect run."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from acsync.cli.status import sync_line
from acsync.cli.sync import NOT_TOLD, logged_line
from acsync.errors import AcsyncError, SyncFailed
from acsync.store.status import LoggedSync

COMPLETE = LoggedSync(
    sync_id="sync-1",
    timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    total_duration_ms=385_520,
    duration_seconds=Decimal("385.52"),
    duration_minutes=Decimal("6.43"),
    contacts_success=True,
    contacts_count=82_000,
    contacts_error=None,
    deals_success=True,
    deals_count=75_000,
    deals_error=None,
    overall_success=True,
)
FAILED = replace(
    COMPLETE,
    contacts_success=None,
    contacts_count=None,
    deals_success=False,
    deals_count=None,
    deals_error="status 403\x1b[2J. Check AC_API_KEY.",
    overall_success=False,
)


def test_a_line_has_the_result_the_seconds_and_each_dataset() -> None:
    """Datasets that were not requested are left out, and foreign text is made harmless."""
    assert sync_line(COMPLETE) == "sync-1: complete after 385.5 s; 82,000 contacts; 75,000 deals"
    assert sync_line(FAILED) == (
        "sync-1: not complete after 385.5 s; deals: status 403\ufffd[2J. Check AC_API_KEY."
    )
    assert sync_line(replace(COMPLETE, overall_success=None)) == "sync-1: running"


def test_a_run_lost_by_prefect_is_judged_by_its_log_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A complete sync is a success, and standard error says that Prefect lost the run."""
    line = logged_line(COMPLETE)

    assert (line, capsys.readouterr().err) == (sync_line(COMPLETE), NOT_TOLD)
    with pytest.raises(SyncFailed, match="deals: status 403"):
        logged_line(FAILED)
    with pytest.raises(AcsyncError, match="Prefect's API does not answer"):
        logged_line(None)
