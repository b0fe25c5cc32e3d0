-- Which tags do the same contacts have?
-- Contacts with the same tags are counted together first.
with sets as (
    select tags, count(*) as contacts from ac_contacts_wide where cardinality(tags) > 1 group by tags
), pairs as (
    select tag, unnest(tags) as with_tag, contacts
    from (select unnest(tags) as tag, tags, contacts from sets) as tagged
)
select tag, with_tag, sum(contacts) as contacts
from pairs
where tag < with_tag
group by 1, 2
order by contacts desc
limit 50;
