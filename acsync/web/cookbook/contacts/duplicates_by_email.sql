-- Which contacts have the same address?
select lower(email) as email, count(*) as contacts, array_agg(contact_id order by contact_id) as contact_ids
from ac_contacts
where email <> ''
group by 1
having count(*) > 1
order by contacts desc;
