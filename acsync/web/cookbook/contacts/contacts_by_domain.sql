-- Which companies' addresses do we have most?
select lower(split_part(email, '@', 2)) as domain, count(*) as contacts
from ac_contacts_wide
where email like '%@%'
group by 1
order by contacts desc
limit 50;
