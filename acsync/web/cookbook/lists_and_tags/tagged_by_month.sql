-- When did contacts get a tag?
-- Counts those who have it now, by the first date if two tags have the name. Months are those of the session's time zone.
select date_trunc('month', added_at)::date as month, count(*) as contacts
from (
    select contact_id, min(added_at) as added_at
    from ac_contact_tags where tag = 'Tag 3' group by contact_id
) as tagged
group by 1
order by 1;
