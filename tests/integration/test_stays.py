"""Stays of deals say why they ended, and closing times are only those that a sync saw."""

from datetime import datetime
from typing import Any

from acsync.datasets import Record
from acsync.store.database import Database
from tests.support.documents import ROOT
from tests.support.syncs import fetch, sync_all

STAYS = """
    select deal_id, stage_id, status, is_baseline, left_because from ac_deal_stages
    order by deal_id, entered_at
"""
STATUSES = {"open": "0", "won": "1", "lost": "2"}


def deal(number: int, stage: int = 1, status: str = "open", **values: Any) -> Record:
    return {
        "id": str(number), "group": "1", "stage": str(stage), "status": STATUSES[status]
    } | values  # fmt: skip


def publish(database: Database, *deals: Record) -> datetime:
    """Publish these deals and return the time."""
    sync_all(database, {"deals": [*deals]})
    ((time,),) = fetch(database, "select max(synced_at) from ac_published")
    assert isinstance(time, datetime)
    return time


def test_a_stay_says_why_it_ended(database: Database) -> None:
    """Without it, a query cannot tell lost deals from deleted ones."""
    publish(database, *(deal(number) for number in (1, 2, 3, 4)))
    publish(database, deal(1, stage=2), deal(2, status="won"), deal(3, status="lost"))
    publish(database, deal(1, stage=2), deal(2), deal(3, status="won"))

    assert fetch(database, STAYS) == [
        (1, 1, "open", True, "moved"),
        (1, 2, "open", False, None),
        (2, 1, "open", True, "closed"),
        (2, 1, "won", False, "reopened"),
        (2, 1, "open", False, None),
        (3, 1, "open", True, "closed"),
        (3, 1, "lost", False, "closed"),
        (3, 1, "won", False, None),
        (4, 1, "open", True, "deleted"),
    ]


def test_a_baseline_is_a_stay_that_no_sync_saw_begin(database: Database) -> None:
    """New deals have the highest ids. One that was hidden or deleted before can be old."""
    publish(database, deal(5), deal(7))
    publish(database, deal(7), deal(6), deal(8))
    publish(database, deal(5), deal(7), deal(6), deal(8))

    stays = fetch(
        database, "select deal_id, is_baseline from ac_deal_stages order by 1, entered_at"
    )
    assert stays == [(5, True), (5, True), (6, True), (7, True), (8, False)]


def test_a_closing_time_is_that_of_the_sync_that_saw_it(database: Database) -> None:
    """A later move of a won deal, or an edit, does not change it."""
    publish(database, deal(1), deal(2), deal(3, status="won"), deal(4, status="won"))
    second = publish(
        database, deal(1, status="won"), deal(2), deal(3, status="won"),
        deal(4), deal(5, status="won"),
    )  # fmt: skip
    third = publish(
        database, deal(1, stage=2, status="won"), deal(2, status="lost"),
        deal(3, status="won", title="edited"), deal(4, status="won"), deal(5, status="won"),
    )  # fmt: skip

    assert fetch(database, "select deal_id, closed_at from ac_deals order by 1") == [
        (1, second),
        (2, third),
        (3, None),
        (4, third),
        (5, second),
    ]
    assert fetch(
        database,
        "select deal_id, status, closed_at from ac_deal_history where deal_id in (2, 4) "
        "order by 1, valid_from",
    ) == [
        (2, "open", None),
        (2, "lost", third),
        (4, "won", None),
        (4, "open", None),
        (4, "won", third),
    ]


def test_an_unmasked_deal_was_not_seen_to_close(database: Database) -> None:
    """A stub has no status. The deal can have been won for years."""
    publish(database, {"id": "1", "isDisabled": True}, deal(2))
    publish(database, deal(1, status="won"), deal(2))

    assert fetch(database, "select closed_at from ac_deals where deal_id = 1") == [(None,)]
    assert fetch(database, STAYS)[:2] == [
        (1, None, None, True, "moved"),
        (1, 1, "won", True, None),
    ]


def ask(database: Database, question: str) -> list[tuple[Any, ...]]:
    return fetch(database, (ROOT / f"acsync/web/cookbook/{question}.sql").read_text())


def test_the_questions_count_only_what_a_sync_saw(database: Database) -> None:
    """Else they show the age of the copy, and an edit moves a won deal to another month."""
    old: dict[str, Any] = {"value": "100", "currency": "usd"}
    publish(database, deal(1), deal(2), deal(3), deal(4, status="won", **old), deal(5))
    second = publish(
        database, deal(1, stage=2), deal(2, status="won", **old), deal(3, status="lost"),
        deal(4, status="won", title="edited", **old),
    )  # fmt: skip
    third = publish(
        database, deal(1, stage=3), deal(2, status="won", **old), deal(3, status="lost"),
        deal(4, status="won", title="edited", **old),
    )  # fmt: skip

    assert ask(database, "pipelines/time_in_stage") == [(None, None, 1, third - second)]
    (won,) = ask(database, "deals/won_by_month")
    assert won[1:] == ("usd", 1, 1)
    (rate,) = ask(database, "deals/win_rate_by_month")
    assert rate[1:] == (2, 50)
    conversions = ask(database, "pipelines/stage_conversion")
    assert {row[2:] for row in conversions} == {
        (4, 0, 1, 1, 1, 1),
        (1, 0, 1, 0, 0, 0),
        (1, 1, 0, 0, 0, 0),
    }
