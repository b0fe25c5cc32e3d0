-- How many deals leave a stage, and how?
-- Counts every stay of an open deal, also of deals that were there before the copy. The columns after
-- `entered` add up to it.
select pipelines.name as pipeline, stages.name as stage, count(*) as entered,
    count(*) filter (where stay.left_at is null) as still_there,
    count(*) filter (where stay.left_because = 'moved') as moved_on,
    count(*) filter (where stay.left_because = 'closed' and next.status = 'won') as won,
    count(*) filter (where stay.left_because = 'closed' and next.status = 'lost') as lost,
    count(*) filter (where stay.left_because = 'deleted') as deleted
from ac_deal_stages as stay
left join ac_deal_stages as next on next.deal_id = stay.deal_id and next.entered_at = stay.left_at
left join ac_pipelines as pipelines on pipelines.id = stay.pipeline_id
left join ac_stages as stages on stages.id = stay.stage_id
where stay.status = 'open'
group by stay.pipeline_id, pipelines.name, stay.stage_id, stages.name, stages.position
order by pipelines.name, stages.position;
