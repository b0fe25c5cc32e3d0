"""Reconstruct where deals were before the copy, from their events."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeAlias

from acsync.datasets import DatasetName
from acsync.errors import StoreError
from acsync.readings import EventKind
from acsync.results import DatasetResult
from acsync.store.database import Transaction
from acsync.store.deal_stages import (
    Baseline,
    PastEvent,
    PastStay,
    note_filled,
    read_baselines,
    write_past_stays,
)
from acsync.store.lease import holding_lease
from acsync.store.sync_log import add_warning
from acsync.sync.context import SyncContext

# Stage id and status. A value is None if it is unknown.
Place: TypeAlias = Mapping[EventKind, str | None]

# Deals are published up to half an hour after they were read, and resumed ones up to an hour. So
# the published stay of a deal may be older than its last events.
AMBIGUOUS = timedelta(hours=1)

BATCH = 5_000


def fill_past_stays(
    context: SyncContext, results: Mapping[DatasetName, DatasetResult], complete_at: datetime
) -> dict[DatasetName, DatasetResult]:
    """Fill the stays of published deals from their events; a failure becomes a warning.

    Every event from before `complete_at` is stored. Stays that a sync saw begin are not changed.
    """
    deals = results.get("deals")
    if deals is None or not deals.success:
        return dict(results)
    try:
        with holding_lease(context.database, context.sync) as connection:
            _fill(connection, complete_at)
    except StoreError as error:
        warning = f"ac_deal_stages was not filled from the events of deals. {error}".rstrip(".")
        # The data is published, so an error of the log must not make the sync fail.
        with suppress(StoreError):
            add_warning(context.database, context.sync, "deals", warning)
        deals = replace(deals, warnings=(*deals.warnings, warning))
    return {**results, "deals": deals}


def _fill(connection: Transaction, complete_at: datetime) -> None:
    after_id = 0
    while baselines := read_baselines(connection, complete_at, after_id, BATCH):
        write_past_stays(connection, [stay for each in baselines for stay in past_stays(each)])
        after_id = baselines[-1].deal_id
    note_filled(connection, complete_at)


def past_stays(baseline: Baseline) -> list[PastStay]:
    """Return the stays that the events of a deal prove, the baseline first, then back in time.

    If the events do not lead to what the sync saw, nothing is proven. The first stay begins with
    the deal, if events are known from that time.
    """
    events = [event for event in baseline.events if event.was != event.became]
    place: Place = {"stage": str(baseline.stage_id), "status": baseline.status}
    while events and not _lead_to(events, place) and _is_ambiguous(events[-1], baseline):
        events.pop()
    stays: list[PastStay] = []
    left_at, left_because = baseline.entered_at, ""
    while events and _lead_to(events, place):
        entered_at, after = events[-1].at, place
        stays.append(_stay(baseline, after, entered_at, left_at, left_because))
        place = _undo(events, after)
        left_at, left_because = entered_at, _explain(place, after)
    created_at = baseline.created_at
    if stays and not events and created_at and created_at < left_at and _lead_to((), place):
        stays.append(_stay(baseline, place, created_at, left_at, left_because))
    return stays


def _lead_to(events: Sequence[PastEvent], place: Place) -> bool:
    """Return whether a place is known, and the last event of each kind leads to it."""
    last = {event.kind: event.became for event in events}
    return all(place.values()) and all(place[kind] == became for kind, became in last.items())


def _is_ambiguous(event: PastEvent, baseline: Baseline) -> bool:
    return event.at > baseline.entered_at - AMBIGUOUS


def _undo(events: list[PastEvent], after: Place) -> Place:
    """Remove the last events, which have the same time, and return the place before them.

    It is unknown if the events do not follow each other.
    """
    place, at = dict(after), events[-1].at
    while events and events[-1].at == at:
        event = events.pop()
        follows = event.became == place[event.kind]
        place[event.kind] = event.was if follows else None
    return place


def _explain(before: Place, after: Place) -> str:
    """Return why a stay ended, as publishing does."""
    if before["status"] == after["status"]:
        return "moved"
    return "reopened" if after["status"] == "open" else "closed"


def _stay(
    baseline: Baseline,
    place: Place,
    entered_at: datetime,
    left_at: datetime,
    left_because: str,
) -> PastStay:
    stage, status = int(place["stage"] or 0), place["status"] or ""
    return PastStay(baseline.deal_id, stage, status, entered_at, left_at, left_because or None)
