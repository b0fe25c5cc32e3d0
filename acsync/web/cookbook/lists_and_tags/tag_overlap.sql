-- Which tags do the same contacts have?
select one.tag, other.tag as with_tag, count(*) as contacts
from ac_contacts, unnest(tags) as one (tag), unnest(tags) as other (tag)
where one.tag < other.tag
group by 1, 2
order by contacts desc
limit 50;
