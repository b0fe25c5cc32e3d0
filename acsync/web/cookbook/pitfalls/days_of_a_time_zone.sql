-- On which day was a contact created, by the account's clock?
-- Times are instants. Without a time zone, Postgres takes the session's, and the days near midnight move.
select (created_at at time zone 'America/Chicago')::date as day, count(*) as contacts
from ac_contacts_wide
group by day
order by day desc;
