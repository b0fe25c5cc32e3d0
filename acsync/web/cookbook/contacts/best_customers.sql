-- Which contacts have brought most?
with won as (
    select contact_id, currency, count(*) as deals, sum(value) as value
    from ac_deals_wide as deals
    where status = 'won'
        and exists (select from ac_contacts_wide as contacts where contacts.contact_id = deals.contact_id)
    group by 1, 2
    order by value desc
    limit 100
)
select contact_id, email, first_name, last_name, currency, deals, value
from won join ac_contacts_wide using (contact_id)
order by value desc;
