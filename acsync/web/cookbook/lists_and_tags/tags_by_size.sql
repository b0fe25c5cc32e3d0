-- Which tags are used, and how often?
select tag, count(*) as contacts
from ac_contacts, unnest(tags) as tag
group by tag
order by contacts desc, tag;
