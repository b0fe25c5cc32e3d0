"""Store the events of deals, and how far they were read."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from acsync.readings import ActivityReading, DealEvent
from acsync.results import Sync
from acsync.store.database import Database, run
from acsync.store.lease import holding_lease

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
    return tuple(_read_state(row.state) for row in database.fetch(sql))


def _read_state(state: dict[str, Any]) -> ActivityReading:
    times = {key: state[key] and datetime.fromisoformat(state[key]) for key in TIMES}
    return ActivityReading(**state | times)


def replace_readings(database: Database, sync: Sync, readings: Iterable[ActivityReading]) -> None:
    """Forget all readings and start these; stored events stay."""
    with holding_lease(database, sync) as connection:
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
    with holding_lease(database, sync) as connection:
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
    (seen,) = database.fetch(sql, data_type=data_type, since_pass=since_pass)
    return Seen(*seen)


def count_events(database: Database) -> int:
    """Return how many events are stored."""
    ((count,),) = database.fetch("select count(*) from {schema}.ac_deal_events")
    return int(count)
