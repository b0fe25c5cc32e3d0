-- What is in the pipeline, stage by stage?
select pipeline, stage, currency, count(*) as deals, sum(value) as value
from ac_deals
where status = 'open'
group by 1, 2, 3
order by 1, 2, 3;
