-- Where do new leads come from, week by week?
select date_trunc('week', created_at)::date as week, custom_fields ->> 'SOURCE' as source, count(*) as leads
from ac_contacts
group by 1, 2
order by 1 desc, 3 desc
limit 200;
