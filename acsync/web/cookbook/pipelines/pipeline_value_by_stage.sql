-- What is in the pipeline, stage by stage?
select pipeline, stage, currency, count(*) as deals, sum(value) as value
from ac_deals_wide
where status = 'open'
group by pipeline_id, pipeline, stage_id, stage, currency
order by pipeline, stage, currency;
