-- Which tags do the same contacts have?
select one.tag, other.tag as with_tag, count(*) as contacts
from ac_contact_tags as one join ac_contact_tags as other using (contact_id)
where one.tag < other.tag
group by 1, 2
order by contacts desc
limit 50;
