-- Where do new leads come from, week by week?
-- The eight weeks before the newest contact. Weeks are those of the session's time zone.
select date_trunc('week', created_at)::date as week,
    (select custom_fields ->> 'SOURCE' from ac_contacts as contacts where contacts.contact_id = leads.contact_id)
        as source,
    count(*) as leads
from ac_contacts_wide as leads
where created_at > (select max(created_at) from ac_contacts_wide) - interval '8 weeks'
group by 1, 2
order by 1 desc, 3 desc
limit 200;
