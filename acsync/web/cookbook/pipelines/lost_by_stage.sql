-- In which stages are deals lost?
select pipeline, stage, currency, count(*) as lost, sum(value) as value
from ac_deals_wide
where status = 'lost'
group by pipeline_id, pipeline, stage_id, stage, currency
order by lost desc;
