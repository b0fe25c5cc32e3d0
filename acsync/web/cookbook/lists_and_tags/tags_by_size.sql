-- Which tags are used, and how often?
select tag, count(*) as contacts
from (select unnest(tags) as tag from ac_contacts_wide) as tagged
group by tag
order by contacts desc, tag;
