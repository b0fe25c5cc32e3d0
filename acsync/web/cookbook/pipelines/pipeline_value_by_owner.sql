-- What is each owner working on?
-- Deals that the API key's user cannot see are in the row without owner and currency.
select owner, currency, count(*) as deals, sum(value) as value
from ac_deals_wide
where status = 'open'
group by owner_id, owner, currency
order by 4 desc;
