-- Which open deals have stood still longest?
select deal_id, title, owner, deals.stage, now() - entered_at as since, value, currency
from ac_deal_stages as stay join ac_deals as deals using (deal_id)
where left_at is null and deals.status = 'open'
order by entered_at, deal_id
limit 100;
