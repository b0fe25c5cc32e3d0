"""Store the events of deals with the position of their reading, and fill stays from them."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from acsync.readings import ActivityReading, DealEvent, EventKind
from acsync.results import Sync
from acsync.store.database import Database, run
from acsync.store.lease import require_lease

ADD_EVENTS = """
    insert into {schema}.ac_deal_events
        (id, deal_id, kind, was, became, happened_at, user_id)
    select event_id, deal_id, kind, was, became, {schema}.ac_timestamptz(happened_at), user_id
    from jsonb_to_recordset(cast(:events as jsonb)) as event (
        event_id bigint, deal_id bigint, kind text, was text, became text, happened_at text,
        user_id bigint
    )
    on conflict (id) do nothing
"""

# An id is late if the passes before this one had not returned it, although a higher one had come.
NOTE_SEEN = """
    with known as (
        update {schema}.ac_deal_activities_seen set pass = :pass
        where data_type = :data_type and id = any (:ids) returning id
    ), added as (
        insert into {schema}.ac_deal_activities_seen (data_type, id, pass)
        select distinct :data_type, id, cast(:pass as integer)
        from unnest(cast(:ids as bigint[])) as id
        where id not in (select id from known)
        returning id
    )
    select count(*), count(*) filter (where id <= :last_id) from added
"""

KEEP_READING = """
    insert into {schema}.ac_deal_event_readings as known (data_type, state)
    values (:data_type, cast(:state as jsonb))
    on conflict (data_type) do update set state = excluded.state
"""

TIMES = ("complete_at", "began_at", "quiet_at")


def read_readings(database: Database) -> tuple[ActivityReading, ...]:
    """Return how far each type of activity was read; empty before the first reading."""
    sql = "select state from {schema}.ac_deal_event_readings order by data_type"
    with database.begin() as connection:
        return tuple(_read_state(state) for state in run(connection, sql).scalars())


def _read_state(state: dict[str, Any]) -> ActivityReading:
    times = {key: state[key] and datetime.fromisoformat(state[key]) for key in TIMES}
    return ActivityReading(**state | times)


def replace_readings(database: Database, sync: Sync, readings: Iterable[ActivityReading]) -> None:
    """Forget all readings and start these; stored events stay."""
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        run(connection, "delete from {schema}.ac_deal_event_readings")
        run(connection, "delete from {schema}.ac_deal_activities_seen")
        for reading in readings:
            _keep(connection, reading)


def save_activities(
    database: Database,
    sync: Sync,
    reading: ActivityReading,
    events: Sequence[DealEvent],
    seen: Collection[int] = (),
) -> tuple[ActivityReading, int]:
    """Store the events of a page and the reading after it; return it and how many are new.

    `seen` are the ids of a page without order; those that earlier passes missed are counted.
    """
    with database.begin() as connection:
        require_lease(connection, sync, lock="key share")
        if seen:
            reading = _note_seen(connection, reading, seen)
        body = json.dumps([asdict(event) for event in events])
        new = run(connection, ADD_EVENTS, events=body).rowcount if events else 0
        _keep(connection, reading)
    return reading, new


def _note_seen(
    connection: Connection, reading: ActivityReading, seen: Collection[int]
) -> ActivityReading:
    values: dict[str, Any] = {"data_type": reading.data_type, "ids": [*seen]}
    values |= {"pass": reading.passes, "last_id": reading.last_id}
    added, late = run(connection, NOTE_SEEN, **values).one()
    return replace(reading, added=reading.added + added, late=reading.late + late)


def _keep(connection: Connection, reading: ActivityReading) -> None:
    state = json.dumps(asdict(reading), default=datetime.isoformat)
    run(connection, KEEP_READING, data_type=reading.data_type, state=state)


@dataclass(frozen=True)
class Seen:
    """The activities of one type that the last passes returned, and the highest id of all."""

    count: int
    last_id: int


def count_seen(database: Database, data_type: str, since_pass: int) -> Seen:
    """Return how many activities the passes from `since_pass` on returned without an order."""
    sql = """
        select count(*) filter (where pass >= :since_pass), coalesce(max(id), 0)
        from {schema}.ac_deal_activities_seen where data_type = :data_type
    """
    with database.begin() as connection:
        return Seen(*run(connection, sql, data_type=data_type, since_pass=since_pass).one())


def count_events(database: Database) -> int:
    """Return how many events are stored."""
    with database.begin() as connection:
        return int(run(connection, "select count(*) from {schema}.ac_deal_events").scalar_one())


@dataclass(frozen=True)
class PastEvent:
    """A change of a deal before the copy: a stage id, or a status, before and after."""

    kind: EventKind
    was: str | None
    became: str | None
    at: datetime


@dataclass(frozen=True)
class Baseline:
    """The first stay of a deal, whose beginning no sync saw, and the events before it.

    `created_at` is None if the deal is older than the oldest event, or dated after the stay.
    """

    deal_id: int
    stage_id: int
    status: str
    entered_at: datetime
    created_at: datetime | None
    events: tuple[PastEvent, ...]


# Each is looked at once its events are complete, and after each of its events that comes later.
BASELINES = """
    with filled as (
        select case when bool_and(filled_at is not null) then min(filled_at) else '-infinity' end
            as filled_at,
            (select min(happened_at) from {schema}.ac_deal_events) as oldest_event
        from {schema}.ac_deal_event_readings
    ), baseline as materialized (
        select stay.deal_id, stay.stage_id, stay.status, stay.entered_at,
            case when version.created_at between oldest_event and stay.entered_at
                then version.created_at end as created_at
        from {schema}.ac_deal_stages as stay
        cross join filled
        left join {schema}.ac_deal_versions as version
            on version.record_id = stay.deal_id and version.valid_to is null
        where stay.is_baseline and stay.deal_id > :after_id and stay.entered_at < :complete_at
          and stay.stage_id is not null and stay.status is not null and exists (
            select from {schema}.ac_deal_events as event
            where event.deal_id = stay.deal_id and event.happened_at <= stay.entered_at
              and greatest(event.read_at, stay.entered_at) >= filled_at
          ) and not exists (
            select from {schema}.ac_deal_stages as earlier
            where earlier.deal_id = stay.deal_id and earlier.entered_at < stay.entered_at
          )
        order by stay.deal_id limit :most
    )
    select deal_id, stage_id, status, entered_at, created_at,
        array_agg(event.kind order by event.happened_at, event.id) as kinds,
        array_agg(event.was order by event.happened_at, event.id) as were,
        array_agg(event.became order by event.happened_at, event.id) as became,
        array_agg(event.happened_at order by event.happened_at, event.id) as times
    from baseline join {schema}.ac_deal_events as event using (deal_id)
    where event.happened_at <= baseline.entered_at
    group by deal_id, stage_id, status, entered_at, created_at
    order by deal_id
"""


def read_baselines(
    connection: Connection, complete_at: datetime, after_id: int, most: int
) -> list[Baseline]:
    """Return stays to fill, in the order of their deals; their events are complete."""
    rows = run(connection, BASELINES, complete_at=complete_at, after_id=after_id, most=most)
    return [
        Baseline(deal, stage, status, entered_at, created_at, tuple(map(PastEvent, *events)))
        for deal, stage, status, entered_at, created_at, *events in rows
    ]


@dataclass(frozen=True)
class PastStay:
    """A stay from before the copy. Without `left_because`, it is the baseline itself.

    The `left_at` of a baseline is the time at which it was first seen.
    """

    deal_id: int
    stage_id: int
    status: str
    entered_at: datetime
    left_at: datetime
    left_because: str | None


BEGIN_BASELINES = """
    update {schema}.ac_deal_stages as stay set entered_at = past.entered_at, is_baseline = false
    from jsonb_to_recordset(cast(:stays as jsonb)) as past (
        deal_id bigint, entered_at timestamptz, left_at timestamptz
    )
    where stay.deal_id = past.deal_id and stay.entered_at = past.left_at and stay.is_baseline
"""
ADD_PAST_STAYS = """
    with stages as materialized (
        select stage.id, stage.name, stage.pipeline_id, pipeline.name as pipeline
        from {schema}.ac_stages as stage
        left join {schema}.ac_pipelines as pipeline on pipeline.id = stage.pipeline_id
    )
    insert into {schema}.ac_deal_stages
        (deal_id, pipeline_id, pipeline, stage_id, stage, status, entered_at, left_at,
         is_baseline, left_because)
    select past.deal_id, stages.pipeline_id, stages.pipeline, past.stage_id, stages.name,
        past.status, past.entered_at, past.left_at, false, past.left_because
    from jsonb_to_recordset(cast(:stays as jsonb)) as past (
        deal_id bigint, stage_id bigint, status text, entered_at timestamptz,
        left_at timestamptz, left_because text
    )
    left join stages on stages.id = past.stage_id
"""


def write_past_stays(connection: Connection, stays: Sequence[PastStay]) -> None:
    """Give each baseline its true beginning, and add the stays before it."""
    for sql, is_baseline in ((BEGIN_BASELINES, True), (ADD_PAST_STAYS, False)):
        rows = [asdict(stay) for stay in stays if (stay.left_because is None) == is_baseline]
        run(connection, sql, stays=json.dumps(rows, default=datetime.isoformat))


def note_filled(connection: Connection, complete_at: datetime) -> None:
    """Note that stays were filled from all events that were read before `complete_at`."""
    sql = "update {schema}.ac_deal_event_readings set filled_at = :complete_at"
    run(connection, sql, complete_at=complete_at)
