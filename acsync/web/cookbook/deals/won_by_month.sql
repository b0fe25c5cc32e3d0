-- What was won each month?
select date_trunc('month', updated_at)::date as month, currency, count(*) as deals, sum(value) as value
from ac_deals
where status = 'won'
group by 1, 2
order by 1 desc, 2;
