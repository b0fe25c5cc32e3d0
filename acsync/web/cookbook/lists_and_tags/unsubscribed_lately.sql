-- Who unsubscribed in the last 90 days, and from which list?
select email, list ->> 'name' as list, ac_timestamptz(list ->> 'unsubscribedAt') as unsubscribed_at
from ac_contacts, jsonb_array_elements(lists) as list
where list ->> 'status' = 'unsubscribed'
    and list ->> 'unsubscribedAt' >= (current_date - 90)::text  -- as text: both begin with the year
order by 3 desc;
