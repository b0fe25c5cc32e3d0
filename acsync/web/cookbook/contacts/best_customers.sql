-- Which contacts have brought most?
-- The first hundred of each currency.
with won as (
    select contact_id, currency, count(*) as deals, sum(value) as value,
        rank() over (partition by currency order by sum(value) desc nulls last) as place
    from ac_deals_wide as deals
    where status = 'won'
        and exists (select from ac_contacts_wide as contacts where contacts.contact_id = deals.contact_id)
    group by 1, 2
)
select currency, place, contact_id, email, first_name, last_name, deals, value
from won join ac_contacts_wide using (contact_id)
where place <= 100
order by currency, place;
