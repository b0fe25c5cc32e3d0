-- Whom may we write to on a list?
select contact_id, email, first_name, list ->> 'subscribedAt' as subscribed_at
from ac_contacts, jsonb_array_elements(lists) as list
where list ->> 'name' = 'Newsletter' and list ->> 'status' = 'active'
order by email;
