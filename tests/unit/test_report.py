"""The report shows what a sync did, with foreign text as plain text."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from markdown_it import MarkdownIt

from acsync.errors import AcsyncError
from acsync.results import CallCounts, Changes, DatasetResult, EventsResult, SyncResult
from acsync.sync.report import report_lines, report_markdown, report_summary

NASTY = (
    "<script>alert(1)</script> <!-- &lt; ![x](http://evil.example/a.png) [y](javascript:z) "
    "www.evil.example a@evil.example `code` **bold** _it_ ~~gone~~ | cell | # title {{ 7*7 }} 100%s"
)


def outcome(**datasets: DatasetResult) -> SyncResult:
    """Return the result of a sync of two minutes that escaped three characters."""
    return SyncResult(
        "sync-1", "a.example", datetime.now(UTC), 120_000, 10, None, CallCounts(600, 2, 1), 3,
        {"contacts": datasets["contacts"], "deals": datasets["deals"]},
    )  # fmt: skip


def test_a_report_shows_what_was_published_or_why_not() -> None:
    """Operators look for the figures and the reason first."""
    result = outcome(
        contacts=DatasetResult(90_000, Changes(1_200, 3, 2, 1, 0)),
        deals=DatasetResult(4_000, error="The page did not come."),
    )

    assert list(report_lines(result)) == [
        "contacts: 1,200 records; 3 added, 2 updated, 1 deleted",
        "deals: not published. The page did not come.",
        "600 calls in 120.0 s (5.0 per second, limit 10), 2 repeated, 1 refused as too many; "
        "3 NUL characters removed, which Postgres cannot store",
    ]
    assert report_summary(result) == "1,200 contacts; deals not published: The page did not come."
    assert "| contacts | 1,200 | 3 | 2 | 1 | 0 | 0 | 0 | 90.0 |" in report_markdown(result)
    assert "**deals not published.** The page did not come." in report_markdown(result)


def test_a_report_counts_refreshed_records_and_dropped_versions() -> None:
    """A newsletter changes counters of thousands of contacts; none of them is an update."""
    result = outcome(
        contacts=DatasetResult(90_000, Changes(82_000, 0, 27, 0, 0, 3_181, 1_250)),
        deals=DatasetResult(1, error=""),
    )

    assert next(report_lines(result)) == (
        "contacts: 82,000 records; 0 added, 27 updated, 0 deleted, 3,181 refreshed; "
        "1,250 old versions dropped"
    )
    assert "| contacts | 82,000 | 0 | 27 | 0 | 0 | 3,181 | 1,250 | 90.0 |" in report_markdown(
        result
    )


@pytest.mark.parametrize(
    ("seconds", "publishing_share", "is_said"),
    [(0.8, 0.0, False), (2.75, 0.0, True), (2.75, 0.5, False)],
    ids=["fast answers", "slow answers", "a slow database"],
)
def test_a_report_says_if_slow_answers_were_the_bound(
    seconds: float, publishing_share: float, is_said: bool
) -> None:
    """Otherwise people ask for a higher limit, which would bring nothing."""
    done = DatasetResult(1, Changes(1, 0, 0, 0, 0))
    result = replace(outcome(contacts=done, deals=done), answer_seconds=seconds)
    publishing = result.duration_ms / 1000 * publishing_share
    result = replace(result, publishing_seconds=publishing)

    line = (
        f"calls took {seconds:.1f} s on average, so there were 5.0 of 10 per second: "
        "the account's answers were the bound, not its limit"
    )
    assert (line in report_lines(result)) == (line in report_markdown(result)) == is_said


@pytest.mark.parametrize(
    ("events", "line"),
    [
        (
            EventsResult(390, 39_000, 39_000, 1_000_000),
            "deal_events: 39,000 stored, 390 new; 3 % of about 1,000,000 activities read. Times of "
            "earlier stages follow when all are read",
        ),
        (
            EventsResult(1, 20_000, 20_000, 20_000, datetime.now(UTC)),
            "deal_events: 20,000 stored, 1 new",
        ),
    ],
)
def test_a_report_says_how_far_the_events_are_read(events: EventsResult, line: str) -> None:
    """The first reading takes many syncs, and closing times are missing until then."""
    deals = DatasetResult(1, Changes(1, 0, 0, 0, 0))
    result = replace(outcome(contacts=deals, deals=deals), events=events)

    assert line in report_lines(result)
    assert line.split()[1] in report_markdown(result)


def test_one_of_anything_is_singular() -> None:
    """A report of `1 records` looks careless."""
    contacts = DatasetResult(1, Changes(1, 1, 0, 0, 0, dropped=1))
    result = SyncResult(
        "sync-1", "a.example", datetime.now(UTC), 1_000, 10, None, CallCounts(1, 1, 0), 1,
        {"contacts": contacts},
    )  # fmt: skip

    assert report_summary(result) == "1 contact"
    assert list(report_lines(result)) == [
        "contacts: 1 record; 1 added, 0 updated, 0 deleted; 1 old version dropped",
        "1 call in 1.0 s (1.0 per second, limit 10), 1 repeated, 0 refused as too many; "
        "1 NUL character removed, which Postgres cannot store",
    ]


def test_a_hostile_reason_is_shown_as_text_and_nothing_else() -> None:
    """An error can quote any answer, and Prefect's UI renders Markdown with HTML."""
    result = outcome(contacts=DatasetResult(1, error=NASTY), deals=DatasetResult(1, error=NASTY))

    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(report_markdown(result))

    reason = next(token for token in tokens if token.content.startswith("**contacts"))
    kinds = {child.type for child in reason.children or ()}
    shown = "".join(child.content for child in reason.children or ())
    assert kinds <= {"text", "text_special", "strong_open", "strong_close"}
    assert shown == f"contacts and deals not published. {NASTY}"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", "\ufffd[2J\ufffd]0;owned\ufffd"),
        ("one\r\nERROR two\n\tthree", "one ERROR two three"),
        ("a\x00b\x9bc\x7f", "a\ufffdb\ufffdc\ufffd"),
        ("abc\u202edcba\ud800", "abc\ufffddcba\ufffd"),
        ("100 % of %s [red]{0} 😀 é", "100 % of %s [red]{0} 😀 é"),
    ],
)
def test_an_error_is_one_line_that_no_terminal_obeys(sent: str, shown: str) -> None:
    """Errors quote answers, and go to terminals, logs and a table."""
    assert str(AcsyncError(sent)) == shown
