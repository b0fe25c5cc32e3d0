"""Record when deals entered and left each stage and status, as the syncs saw it."""

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
