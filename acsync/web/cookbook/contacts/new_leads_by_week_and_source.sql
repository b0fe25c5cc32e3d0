-- Where do new leads come from, week by week?
-- The column `source` is a custom field. The columns of your fields are in ac_fields.
select date_trunc('week', created_at)::date as week, source, count(*) as leads
from ac_contacts_wide
group by 1, 2
order by 1 desc, 3 desc
limit 200;
