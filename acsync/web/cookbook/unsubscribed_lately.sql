-- Who unsubscribed in the last 90 days, and from which list?
select email, list ->> 'name' as list, ac_timestamptz(list ->> 'unsubscribedAt') as unsubscribed_at
from ac_contacts, jsonb_array_elements(lists) as list
where list ->> 'status' = 'unsubscribed'
    and ac_timestamptz(list ->> 'unsubscribedAt') > now() - interval '90 days'
order by 3 desc;
