-- Whom may we write to on a list?
-- Two lists can have the same name: a contact on several of them has to be active on each. For one list,
-- compare its `list_id`. Bounced addresses are not known here.
select contact_id, email, first_name, subscribed_at
from (
    select contact_id, max(subscribed_at) as subscribed_at
    from ac_contact_lists
    where list = 'Newsletter'
    group by contact_id
    having bool_and(status = 'active')
) as active
join ac_contacts_wide using (contact_id)
where email is not null
order by email;
