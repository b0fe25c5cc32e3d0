"""Activities are read whole in any order that the pages prove, and only events are kept."""

from dataclasses import replace

import pytest

from acsync.activecampaign.deal_activities import (
    OrderBroken,
    advance,
    is_end,
    next_offset,
    parse_event,
)
from acsync.activecampaign.page import Page
from acsync.datasets import Record
from acsync.readings import ActivityOrder, ActivityReading, DealEvent

START = ActivityReading("status", asks_order=True, page_rows=4)


def page(*ids: int, total: int | None) -> Page:
    return Page([{"id": str(number)} for number in ids], {}, total)


def test_pages_in_order_connect_by_a_shared_row() -> None:
    """In descending order too, rows are counted from the oldest."""
    first = advance(START, page(1, 2, 3, 4, total=6), 0)
    assert (first.rows, first.last_id, next_offset(first, 1)) == (4, 4, 3)
    last = page(4, 5, 6, total=6)
    assert (advance(first, last, 3).rows, is_end(first, last, 3)) == (6, True)

    descending = replace(START, order="descending", total=6)
    assert next_offset(descending, 1) == 2
    first = advance(descending, page(4, 3, 2, 1, total=6), 2)
    assert (first.rows, first.last_id, next_offset(first, 1)) == (4, 4, 0)
    last = page(6, 5, 4, 3, total=6)
    end = advance(first, last, 0)
    assert (end.rows, end.last_id, is_end(end, last, 0)) == (6, 6, True)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_a_page_that_does_not_connect_is_read_further_back(order: ActivityOrder) -> None:
    """Rows between the pages may have moved up after a deletion."""
    reading = replace(START, order=order, rows=40, last_id=40, total=60)
    ids = (45, 46, 47, 48)

    gap = page(*(ids if order == "ascending" else ids[::-1]), total=60)

    assert advance(reading, gap, next_offset(reading, 1)).rows == 36


def test_new_rows_in_descending_order_move_the_offset_only() -> None:
    """The same place is asked for again, with the new total."""
    reading = replace(START, order="descending", rows=40, last_id=40, total=60)

    moved = advance(reading, page(53, 52, 51, 50, total=70), next_offset(reading, 1))

    assert (moved.rows, moved.last_id) == (40, 40)
    assert next_offset(moved, 1) == next_offset(reading, 1) + 10


@pytest.mark.parametrize(
    ("order", "ids", "next_order"),
    [
        ("ascending", (3, 2, 1), "descending"),
        ("ascending", (3, 1, 2), "none"),
        ("ascending", (1, 1), "none"),
        ("descending", (1, 2, 3), "none"),
    ],
)
def test_a_page_in_another_order_is_noticed(
    order: ActivityOrder, ids: tuple[int, ...], next_order: ActivityOrder
) -> None:
    """The order is not documented, so each page has to prove it."""
    with pytest.raises(OrderBroken) as broken:
        advance(replace(START, order=order, total=3), page(*ids, total=3), 0)

    assert broken.value.order == next_order


def row(**values: object) -> Record:
    return {
        "id": "7", "deal": "5", "user": "2", "cdate": "2026-01-02T03:04:05-05:00",
        "dataType": "status", "dataOldval": "0", "dataAction": "1",
    } | values  # fmt: skip


AT = "2026-01-02T03:04:05-05:00"


@pytest.mark.parametrize(
    ("values", "event"),
    [
        ({}, DealEvent(7, "5", "status", "open", "won", AT, "2")),
        ({"dataOldval": "", "user": None}, DealEvent(7, "5", "status", None, "won", AT, None)),
        (
            {"dataType": "d_stageid", "dataOldval": "0", "dataAction": "31"},
            DealEvent(7, "5", "stage", None, "31", AT, "2"),
        ),
        (
            {"dataType": "d_stageid", "dataOldval": "3", "dataAction": "a text"},
            DealEvent(7, "5", "stage", "3", None, AT, "2"),
        ),
        ({"dataType": "note", "dataAction": "Body of a note"}, None),
        ({"dataType": ""}, None),
        ({"deal": None}, None),
        ({"deal": "0"}, None),
    ],
)
def test_only_changes_of_stage_and_status_are_kept(values: Record, event: DealEvent | None) -> None:
    """Bodies of notes and mails are never stored, nor any text in their place."""
    parsed = parse_event(row(**values))

    assert parsed == event
