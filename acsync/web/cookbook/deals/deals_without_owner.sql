-- Which open deals belong to nobody who still has an account?
select deal_id, title, owner_id, stage, value, currency
from ac_deals_wide
where status = 'open' and owner is null
order by value desc nulls last
limit 500;
