-- Which tags do the same contacts have?
-- Contacts with the same tags are counted together first.
with sets as (
    select tags, count(*)::int as contacts
    from (select array_agg(tag_id) as tags from ac_contact_tags group by contact_id) as tagged
    group by tags
), pairs as (
    select tag_id, unnest(tags) as with_id, contacts
    from (select unnest(tags) as tag_id, tags, contacts from sets) as members
), largest as (
    select tag_id, with_id, sum(contacts) as contacts
    from pairs
    where tag_id < with_id
    group by 1, 2
    order by contacts desc
    limit 50
)
select tag.name as tag, with_tag.name as with_tag, contacts
from largest
join ac_tags as tag on tag.id = tag_id
join ac_tags as with_tag on with_tag.id = with_id
order by contacts desc;
