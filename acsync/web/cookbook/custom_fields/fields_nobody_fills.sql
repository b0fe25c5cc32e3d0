-- Which contact fields does hardly anybody fill?
-- Of more than 4,000 contacts, this looks at every second, third and so on, and estimates the numbers.
with share as (
    select greatest(record_count / 4000, 1) as every, record_count from ac_freshness where data_type = 'contacts'
), filled as (
    select key, count(*) * min(every) as contacts
    from share join ac_contacts_wide as sample on sample.contact_id % every = 0
    join ac_contacts using (contact_id) cross join jsonb_each_text(custom_fields)
    where value <> ''
    group by key
)
select title, key, coalesce(contacts, 0) as contacts, round(100.0 * coalesce(contacts, 0) / record_count, 1) as percent
from share cross join ac_fields left join filled using (key)
where data_type = 'contacts'
order by percent;
