-- What was won each month?
-- By the time of the sync that saw the deal won. Deals that were won before the copy count only with deal_events.
select date_trunc('month', closed_at)::date as month, currency, count(*) as deals, sum(value) as value
from ac_deals
where status = 'won' and closed_at is not null
group by 1, 2
order by 1 desc, 2;
