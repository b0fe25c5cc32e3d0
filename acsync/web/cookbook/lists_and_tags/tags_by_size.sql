-- Which tags are used, and how often?
select tag_id, tag, count(*) as contacts
from ac_contact_tags
group by tag_id, tag
order by contacts desc, tag;
