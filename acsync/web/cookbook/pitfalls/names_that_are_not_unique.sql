-- Which lists, tags and stages share a name?
-- Count by id: a contact can be active on one list and unsubscribed from another one of the same name.
select what, name, count(*) as ids, array_agg(id order by id) as which
from (
    select 'list' as what, id, name from ac_lists
    union all
    select 'tag', id, name from ac_tags
    union all
    select 'stage', id, name from ac_stages
) as named
group by what, name
having count(*) > 1
order by what, name;
