"""Events prove where a deal was before the copy, or they prove nothing."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from acsync.readings import EventKind
from acsync.store.deal_stages import Baseline, PastEvent
from acsync.sync.past_stays import past_stays

SEEN = datetime(2026, 11, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """Return a time before the first sync."""
    return SEEN - timedelta(days=100 - number)


def event(at: float, kind: EventKind, was: str | None, became: str) -> PastEvent:
    return PastEvent(kind, was, became, day(at))


def moved(at: float, was: str | None, became: str) -> PastEvent:
    return event(at, "stage", was, became)


def closed(at: float, was: str | None, became: str) -> PastEvent:
    return event(at, "status", was, became)


def fill(
    *events: PastEvent, status: str = "won", created: float | None = 0
) -> list[tuple[int, str, datetime, str | None]]:
    created_at = None if created is None else day(created)
    baseline = Baseline(1, 3, status, SEEN, created_at, events)
    stays = past_stays(baseline)
    for later, earlier in pairwise(stays):
        assert earlier.left_at == later.entered_at
    return [(stay.stage_id, stay.status, stay.entered_at, stay.left_because) for stay in stays]


def test_events_lead_back_to_the_creation_of_a_deal() -> None:
    """The baseline comes first, with its true beginning."""
    assert fill(
        moved(1, "1", "2"), closed(2, "open", "lost"), closed(3, "lost", "open"),
        moved(4, "2", "3"), closed(5, "open", "won"),
    ) == [
        (3, "won", day(5), None),
        (3, "open", day(4), "closed"),
        (2, "open", day(3), "moved"),
        (2, "lost", day(2), "reopened"),
        (2, "open", day(1), "closed"),
        (1, "open", day(0), "moved"),
    ]  # fmt: skip


def test_a_deal_older_than_the_events_has_no_first_stay() -> None:
    """Nobody knows when it entered the stage that it left first."""
    assert fill(moved(1, "1", "3"), status="open", created=None) == [(3, "open", day(1), None)]


def test_events_that_contradict_the_sync_prove_nothing() -> None:
    """What the sync saw wins: an event is missing."""
    assert fill(moved(1, "1", "2"), closed(5, "open", "won")) == []
    assert fill(moved(1, "1", "3"), closed(5, "open", "lost")) == []
    assert fill(closed(1, "open", "lost"), moved(5, "2", "3")) == []


def test_a_gap_between_events_ends_the_past() -> None:
    """The stays after the gap are proven, those before it are not."""
    assert fill(moved(1, "1", "2"), moved(4, "7", "3"), closed(5, "open", "won")) == [
        (3, "won", day(5), None),
        (3, "open", day(4), "closed"),
    ]
    assert fill(moved(4, None, "3"), closed(5, None, "won")) == [(3, "won", day(5), None)]


def test_an_event_right_before_publishing_may_come_after_the_reading() -> None:
    """The next sync sees it as a move of its own."""
    during = closed(100 - 0.01, "open", "won")

    assert fill(moved(4, "1", "3"), during, status="open")[0] == (3, "open", day(4), None)
    assert fill(moved(4, "1", "3"), during)[0] == (3, "won", during.at, None)


def test_events_of_the_same_moment_are_one_move() -> None:
    """A stay of no length would be counted in a funnel."""
    stays = fill(moved(4, "1", "2"), moved(4, "2", "3"), closed(4, "open", "won"))

    assert stays == [(3, "won", day(4), None), (1, "open", day(0), "closed")]


def test_an_event_that_changes_nothing_is_none() -> None:
    """ActiveCampaign may list that somebody chose the same stage again."""
    assert fill(moved(4, "1", "3"), moved(6, "3", "3"), status="open")[0][2] == day(4)
