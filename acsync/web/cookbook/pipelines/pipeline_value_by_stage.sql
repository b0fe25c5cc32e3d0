-- What is in the pipeline, stage by stage?
-- Deals that the API key's user cannot see are in the row without pipeline and currency.
select pipeline, stage, currency, count(*) as deals, sum(value) as value
from ac_deals_wide
where status = 'open'
group by pipeline_id, pipeline, stage_id, stage, currency
order by pipeline, stage, currency;
