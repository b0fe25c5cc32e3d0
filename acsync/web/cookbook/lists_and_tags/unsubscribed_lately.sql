-- Who unsubscribed in the last 90 days, and from which list?
select email, list ->> 'name' as list, ac_timestamptz(list ->> 'unsubscribedAt') as unsubscribed_at
from (
    select email, jsonb_path_query(
        lists, '$[*] ? (@.status == "unsubscribed" && @.unsubscribedAt >= $since)',
        jsonb_build_object('since', (current_date - 90)::text)  -- as text: both begin with the year
    ) as list
    from ac_contacts_wide
) as unsubscribed
order by 3 desc;
