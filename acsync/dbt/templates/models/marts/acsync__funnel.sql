-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
with stays as (
    select *, lead(status) over (partition by deal_id order by entered_at) as next_status
    from {{ ref('stg_acsync__stage_history') }}
),

counted as (
    select
        pipeline_id,
        max(pipeline) as pipeline,
        stage_id,
        max(stage) as stage,
        count(*) as entered,
        count(*) filter (where left_at is null) as open_deals,
        count(*) filter (where left_because = 'moved') as moved,
        count(*) filter (where left_because = 'closed' and next_status = 'won') as won,
        count(*) filter (where left_because = 'closed' and next_status = 'lost') as lost,
        count(*) filter (where left_because = 'deleted') as deleted,
        percentile_cont(0.5) within group (order by days) filter (where left_because <> 'deleted')
            as median_days
    from stays
    where status = 'open'
    group by pipeline_id, stage_id
)

select
    coalesce(stages.pipeline_id, counted.pipeline_id) as pipeline_id,
    coalesce(stages.pipeline, counted.pipeline) as pipeline,
    coalesce(stages.stage_id, counted.stage_id) as stage_id,
    coalesce(stages.stage, counted.stage) as stage,
    stages.position,
    coalesce(stages.is_listed, false) as is_listed,
    coalesce(counted.entered, 0) as entered,
    coalesce(counted.open_deals, 0) as open_deals,
    coalesce(counted.moved, 0) as moved,
    coalesce(counted.won, 0) as won,
    coalesce(counted.lost, 0) as lost,
    coalesce(counted.deleted, 0) as deleted,
    counted.median_days
from {{ ref('stg_acsync__stages') }} as stages
full join counted on counted.pipeline_id = stages.pipeline_id and counted.stage_id = stages.stage_id
