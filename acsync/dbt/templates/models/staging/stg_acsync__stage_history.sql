-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
-- Names are the last known ones, so that a renamed stage is one stage.
select
    concat_ws(
        '-', stays.deal_id, extract(epoch from stays.entered_at), stays.pipeline_id, stays.stage_id, stays.status
    ) as stay_id,
    stays.deal_id,
    stays.pipeline_id,
    coalesce(pipelines.name, stays.pipeline) as pipeline,
    stays.stage_id,
    coalesce(stages.name, stays.stage) as stage,
    stays.status,
    stays.entered_at,
    stays.left_at,
    stays.left_because,
    stays.is_baseline,
    case when not stays.is_baseline
        then round(extract(epoch from stays.left_at - stays.entered_at)::numeric / 86400, 3)
    end as days
from {{ source('acsync', 'ac_deal_stages') }} as stays
left join {{ source('acsync', 'ac_pipelines') }} as pipelines on pipelines.id = stays.pipeline_id
left join {{ source('acsync', 'ac_stages') }} as stages on stages.id = stays.stage_id
