-- Which deals belong to no contact there is?
select deal_id, title, owner, contact_id
from ac_deals_wide as deals
where not is_masked
    and not exists (select from ac_contacts_wide as contacts where contacts.contact_id = deals.contact_id)
order by deal_id
limit 500;
