-- How many contacts are new each month?
-- Months are those of the session's time zone.
select date_trunc('month', created_at)::date as month, count(*) as contacts
from ac_contacts_wide
group by 1
order by 1;
