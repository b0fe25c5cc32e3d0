-- How long do open deals stay in each stage?
-- Counts the stays that acsync saw begin and end. Stays that still last are not counted, so a young copy
-- shows short times.
select pipelines.name as pipeline, stages.name as stage, count(*) as stays,
    percentile_disc(0.5) within group (order by left_at - entered_at) as median
from ac_deal_stages as stay
left join ac_pipelines as pipelines on pipelines.id = stay.pipeline_id
left join ac_stages as stages on stages.id = stay.stage_id
where status = 'open' and not is_baseline and left_because <> 'deleted'
group by stay.pipeline_id, pipelines.name, stay.stage_id, stages.name, stages.position
order by pipelines.name, stages.position;
