-- Which contacts have the same phone number?
select regexp_replace(phone, '[^0-9+]', '', 'g') as number, count(*) as contacts,
    (array_agg(contact_id order by contact_id))[1:10] as first_contact_ids
from ac_contacts
where length(regexp_replace(phone, '[^0-9]', '', 'g')) >= 6
group by 1
having count(*) > 1
order by contacts desc
limit 100;
