-- How often is each value of a field chosen?
-- The columns of your fields are in ac_fields.
select plan, count(*) as contacts
from ac_contacts_wide
group by 1
order by contacts desc
limit 50;
