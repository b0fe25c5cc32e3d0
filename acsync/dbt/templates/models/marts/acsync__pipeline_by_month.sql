-- Written by acsync dbt, which overwrites this file. To keep your own version, delete this line.
{% set zone = var('acsync_time_zone') %}
with months as (
    select
        start::date as month,
        (start + interval '1 month') at time zone '{{ zone }}' as ends_at
    from generate_series(
        (select date_trunc('month', min(entered_at) at time zone '{{ zone }}')
         from {{ ref('stg_acsync__stage_history') }}),
        now() at time zone '{{ zone }}',
        interval '1 month'
    ) as start
),

facts as (
    select
        months.month, stays.pipeline_id, stays.pipeline, stays.stage_id, stays.stage, deals.currency,
        1 as open_deals, deals.value as open_value,
        0 as won_deals, 0 as won_value, 0 as lost_deals, 0 as lost_value
    from months
    join {{ ref('stg_acsync__stage_history') }} as stays
        on stays.entered_at < months.ends_at and coalesce(stays.left_at >= months.ends_at, true)
    left join {{ ref('stg_acsync__deals') }} as deals on deals.deal_id = stays.deal_id
    where stays.status = 'open'
    union all
    select
        date_trunc('month', closed_at at time zone '{{ zone }}')::date,
        pipeline_id, pipeline, stage_id, stage, currency,
        0, 0,
        (status = 'won')::integer, case status when 'won' then value end,
        (status = 'lost')::integer, case status when 'lost' then value end
    from {{ ref('stg_acsync__deals') }}
    where closed_at is not null
)

select
    month,
    pipeline_id,
    max(pipeline) as pipeline,
    stage_id,
    max(stage) as stage,
    currency,
    sum(open_deals) as open_deals,
    coalesce(sum(open_value), 0) as open_value,
    sum(won_deals) as won_deals,
    coalesce(sum(won_value), 0) as won_value,
    sum(lost_deals) as lost_deals,
    coalesce(sum(lost_value), 0) as lost_value
from facts
group by month, pipeline_id, stage_id, currency
