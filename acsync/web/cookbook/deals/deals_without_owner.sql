-- Which open deals belong to nobody who still has an account?
-- The last known name of an owner stays, so `ac_owners` says who is still listed.
select deal_id, title, owner_id, owner, stage, value, currency
from ac_deals_wide left join ac_owners on ac_owners.id = owner_id
where status = 'open' and not is_masked and is_listed is not true
order by value desc nulls last
limit 500;
