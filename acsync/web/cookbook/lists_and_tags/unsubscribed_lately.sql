-- Who unsubscribed in the last 90 days, and from which list?
select contact_id, email, list, unsubscribed_at, reason
from ac_contact_lists join ac_contacts using (contact_id)
where status = 'unsubscribed' and unsubscribed_at > now() - interval '90 days'
order by unsubscribed_at desc;
