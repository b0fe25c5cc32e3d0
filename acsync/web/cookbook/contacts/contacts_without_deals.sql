-- Which contacts have no deal?
select contact_id, email, created_at
from ac_contacts
where not exists (select from ac_deals where ac_deals.contact_id = ac_contacts.contact_id)
order by created_at desc
limit 500;
