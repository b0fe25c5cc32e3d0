-- In which stages are deals lost?
select pipeline, stage, count(*) as lost, sum(value) as value
from ac_deals
where status = 'lost'
group by 1, 2
order by lost desc;
