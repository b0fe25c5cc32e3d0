-- How many subscriptions did each list gain and lose, day by day?
-- Covers the kept history, also of new and deleted contacts. Days are those of the session's time zone.
select day, list_id, name as list, gained, lost
from (
    select changed_at::date as day, list_id, count(*) filter (where became = 'active') as gained,
        count(*) filter (where was = 'active') as lost
    from ac_list_changes
    where 'active' in (was, became)
    group by 1, 2
) as counted
left join ac_lists on ac_lists.id = list_id
order by 1 desc, 2;
