-- Which tags are used, and how often?
-- Two tags can have the same name, so they are counted by id.
select tag_id, tag, count(*) as contacts
from ac_contact_tags
group by tag_id, tag
order by contacts desc, tag;
