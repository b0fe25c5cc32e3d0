-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
select
    stages.id as stage_id,
    stages.name as stage,
    stages.pipeline_id,
    pipelines.name as pipeline,
    stages.position,
    stages.is_listed
from {{ source('acsync', 'ac_stages') }} as stages
left join {{ source('acsync', 'ac_pipelines') }} as pipelines on pipelines.id = stages.pipeline_id
