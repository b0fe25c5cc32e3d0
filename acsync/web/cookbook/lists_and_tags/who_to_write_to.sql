-- Whom may we write to on a list?
-- Two lists can have the same name: a contact on several of them has to be active on each. For one list,
-- compare its id from ac_lists, as in {"id": "1"}. Bounced addresses are not known here.
select contact_id, email, first_name, (
    select max(list ->> 'subscribedAt') from jsonb_array_elements(lists) as list where list ->> 'name' = 'Newsletter'
) as subscribed_at
from ac_contacts_wide
where email is not null and lists @> '[{"name": "Newsletter", "status": "active"}]'
    and not jsonb_path_exists(lists, '$[*] ? (@.name == "Newsletter" && @.status != "active")')
order by email;
