-- Which open deals has nobody changed for 30 days?
-- Assumes that every change moves `updated_at`, as ActiveCampaign does, also changes by automations.
select deal_id, title, owner, pipeline, stage, updated_at, value, currency
from ac_deals_wide
where status = 'open' and not is_masked and updated_at < now() - interval '30 days'
order by updated_at
limit 500;
