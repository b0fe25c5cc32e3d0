-- Which tags do the same contacts have?
select tag, with_tag, count(*) as contacts
from (
    select tag, unnest(tags) as with_tag
    from (select unnest(tags) as tag, tags from ac_contacts_wide) as tagged
) as pairs
where tag < with_tag
group by 1, 2
order by contacts desc
limit 50;
