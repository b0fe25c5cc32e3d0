-- Whom may we write to on a list?
-- Two lists can have the same name: a contact on several of them has to be active on each. For one list,
-- compare its id from ac_lists, as in list ->> 'id' = '1'. Bounced addresses are not known here.
select contact_id, email, first_name, max(list ->> 'subscribedAt') as subscribed_at
from ac_contacts, jsonb_array_elements(lists) as list
where list ->> 'name' = 'Newsletter' and email <> ''
group by contact_id, email, first_name
having bool_and(list ->> 'status' = 'active')
order by email;
