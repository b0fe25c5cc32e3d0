-- Which contacts have brought most?
select contact_id, email, first_name, last_name, currency, won.deals, won.value
from (
    select contact_id, currency, count(*) as deals, sum(value) as value
    from ac_deals
    where status = 'won'
    group by 1, 2
) as won join ac_contacts using (contact_id)
order by won.value desc
limit 100;
