-- Which deals belong to no contact there is?
select deal_id, title, owner, contact_id
from ac_deals
where not exists (select from ac_contacts where ac_contacts.contact_id = ac_deals.contact_id)
order by deal_id
limit 500;
