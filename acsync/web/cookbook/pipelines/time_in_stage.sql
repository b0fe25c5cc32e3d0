-- How long do deals stay in each stage?
select pipeline, stage, count(*) as stays,
    percentile_disc(0.5) within group (order by coalesce(left_at, now()) - entered_at) as median
from ac_deal_stages
group by 1, 2
order by 1, 2;
