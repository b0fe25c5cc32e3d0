-- How many contacts are on each list, by status?
select list_id, ac_lists.name as list, status, contacts
from (
    select list ->> 'id' as list_id, list ->> 'status' as status, count(*) as contacts
    from (select jsonb_array_elements(lists) as list from ac_contacts_wide) as memberships
    group by 1, 2
) as counted
left join ac_lists on ac_lists.id::text = list_id
order by 2, 1, 3;
