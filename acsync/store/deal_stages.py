"""Record when deals entered and left each stage and status: as syncs saw it, or from events."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection

from acsync.readings import EventKind
from acsync.store.database import run

# Only deals that this sync staged are looked at. Each one that moved has a new version.
IS_ELSEWHERE = """
    (version.pipeline_id, version.stage_id, version.status)
    is distinct from (stay.pipeline_id, stay.stage_id, stay.status)
"""
CLOSE_LEFT = f"""
    update {{schema}}.ac_deal_stages as stay set left_at = now(), left_because = case
        when stay.status in ('won', 'lost') and version.status = 'open' then 'reopened'
        when stay.status <> version.status then 'closed'
        else 'moved'
    end
    from {{schema}}.ac_deal_versions as version
    where stay.left_at is null and version.record_id = stay.deal_id
      and version.valid_from = :sync_no and version.record_id between :first and :last
      and {IS_ELSEWHERE}
"""
CLOSE_DELETED = """
    update {schema}.ac_deal_stages as stay set left_at = now(), left_because = 'deleted'
    from {schema}.ac_deal_versions as version
    where stay.left_at is null and version.record_id = stay.deal_id
      and version.valid_to = :sync_no and version.record_id between :first and :last
      and not exists (
          select from {schema}.ac_deal_versions as later
          where later.record_id = version.record_id and later.valid_to is null
      )
"""
RENAME = """
    update {schema}.ac_deal_stages as stay
    set pipeline = version.pipeline, stage = version.stage
    from {schema}.ac_deal_versions as version
    where stay.left_at is null and version.record_id = stay.deal_id and version.valid_to is null
      and version.record_id between :first and :last and exists (
          select from {schema}.ac_staged_deals as body
          where body.sync_no = :sync_no and body.record_id = version.record_id
      ) and (version.pipeline, version.stage) is distinct from (stay.pipeline, stay.stage)
"""
# A sync saw a stay begin if the deal left another one, or has a higher id than all deals before.
ENTER = """
    insert into {schema}.ac_deal_stages
        (deal_id, pipeline_id, pipeline, stage_id, stage, status, entered_at, is_baseline)
    select record_id, pipeline_id, pipeline, stage_id, stage, status, now(), not exists (
        select from {schema}.ac_deal_stages as previous
        where previous.deal_id = version.record_id and previous.left_at = now()
          and previous.status is not null
    ) and coalesce(record_id < (
        select max(deal_id) from {schema}.ac_deal_stages where entered_at < now()
    ), true)
    from {schema}.ac_deal_versions as version
    where valid_from = :sync_no and record_id between :first and :last and not exists (
        select from {schema}.ac_deal_stages as stay
        where stay.deal_id = version.record_id and stay.left_at is null
    )
"""

# Close the stays that the published deals have left, then open those that they have entered. Both
# happen at the time of publishing, in the same transaction.
STAY_CHANGES = (CLOSE_LEFT, CLOSE_DELETED, RENAME, ENTER)


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
