"""A logged sync is one line, for `acsync status`, `acsync up`, and a sync that Prefect lost."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from acsync.cli.sync import PREFECT_MISSED_IT, logged_line
from acsync.errors import AcsyncError, SyncFailed
from acsync.store.status import LoggedSync
from acsync.sync.report import sync_line

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
    """A dataset that was not asked for is left out; what an API sent is made harmless."""
    assert sync_line(COMPLETE) == "sync-1: complete after 385.5 s; 82,000 contacts; 75,000 deals"
    assert sync_line(FAILED) == (
        "sync-1: not complete after 385.5 s; deals: status 403\ufffd[2J. Check AC_API_KEY."
    )
    assert sync_line(replace(COMPLETE, overall_success=None)) == "sync-1: running"


def test_a_sync_that_prefect_lost_is_judged_by_its_log_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A complete one is a success, and standard error says that Prefect knows nothing of it."""
    line = logged_line(COMPLETE)

    assert (line, capsys.readouterr().err) == (sync_line(COMPLETE), PREFECT_MISSED_IT)
    with pytest.raises(SyncFailed, match="deals: status 403"):
        logged_line(FAILED)
    with pytest.raises(AcsyncError, match="Prefect's API does not answer"):
        logged_line(None)
