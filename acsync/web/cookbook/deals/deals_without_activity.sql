-- Which open deals has nobody touched for 30 days?
select deal_id, title, owner, stage, updated_at, value, currency
from ac_deals
where status = 'open' and updated_at < now() - interval '30 days'
order by updated_at
limit 500;
