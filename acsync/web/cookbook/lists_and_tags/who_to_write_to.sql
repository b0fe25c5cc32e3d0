-- Whom may we write to on a list?
-- Two lists can have the same name: a contact on several of them has to be active on each. For one list,
-- compare list_id instead. Bounced addresses are not known here.
select contact_id, email, first_name, max(subscribed_at) as subscribed_at
from ac_contact_lists join ac_contacts using (contact_id)
where list = 'Newsletter' and email <> ''
group by contact_id, email, first_name
having bool_and(status = 'active')
order by email;
