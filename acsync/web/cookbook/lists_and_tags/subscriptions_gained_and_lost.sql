-- How many subscriptions did each list gain and lose, day by day?
-- Covers the kept history after its first change, also of new and deleted contacts. Days are those of the
-- session's time zone.
with subscriptions as (
    select list ->> 'id' as list_id, list ->> 'name' as list, valid_from, valid_to,
        lag(valid_to) over versions as ended_before, lead(valid_from) over versions as begins_next
    from ac_contact_history, jsonb_array_elements(lists) as list
    where list ->> 'status' = 'active'
    window versions as (partition by contact_id, list ->> 'id' order by valid_from)
)
select time::date as day, list_id, max(list) as list, sum(gained) as gained, sum(lost) as lost
from subscriptions cross join lateral (values
    (valid_from, (ended_before is distinct from valid_from)::integer, 0),
    (valid_to, 0, (begins_next is distinct from valid_to)::integer)
) as event (time, gained, lost)
where time >= (select min(valid_to) from ac_contact_history) and gained + lost > 0
group by 1, 2
order by 1 desc, 2;
