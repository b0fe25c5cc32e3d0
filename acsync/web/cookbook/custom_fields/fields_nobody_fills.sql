-- Which contact fields does hardly anybody fill?
with filled as (
    select key, count(*) as contacts
    from ac_contacts, jsonb_each_text(custom_fields)
    where value <> ''
    group by key
)
select title, key, coalesce(contacts, 0) as contacts,
    round(100.0 * coalesce(contacts, 0) / (select record_count from ac_freshness where data_type = 'contacts'), 1)
        as percent
from ac_fields left join filled using (key)
where data_type = 'contacts'
order by percent;
