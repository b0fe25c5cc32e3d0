-- How often is each value of a field chosen?
select custom_fields ->> 'PLAN' as plan, count(*) as contacts
from ac_contacts
group by 1
order by contacts desc
limit 50;
