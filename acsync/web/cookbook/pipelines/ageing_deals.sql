-- Which open deals have stood still longest?
-- A deal that was there before the copy has stood still at least since its last change in ActiveCampaign.
select deal_id, title, owner, deals.pipeline, deals.stage, now() - least(entered_at, updated_at) as age,
    case when is_baseline then 'at least' else 'exact' end as precision, value, currency
from ac_deal_stages as stay join ac_deals_wide as deals using (deal_id)
where left_at is null and deals.status = 'open' and not is_masked
order by age desc nulls last, deal_id
limit 100;
