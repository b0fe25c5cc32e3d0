-- Which contacts have no deal?
select contact_id, email, created_at
from ac_contacts_wide as contacts
where not exists (select from ac_deals_wide as deals where deals.contact_id = contacts.contact_id)
order by created_at desc
limit 500;
