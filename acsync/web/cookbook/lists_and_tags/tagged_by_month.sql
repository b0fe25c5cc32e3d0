-- When did contacts get a tag?
-- Counts those who have it now. Months are those of the session's time zone.
select date_trunc('month', added_at)::date as month, count(*) as contacts
from ac_contact_tags
where tag = 'Tag 3'
group by 1
order by 1;
