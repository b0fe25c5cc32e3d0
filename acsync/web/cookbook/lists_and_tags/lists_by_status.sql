-- How many contacts are on each list, by status?
select list ->> 'id' as list_id, list ->> 'name' as list, list ->> 'status' as status, count(*) as contacts
from ac_contacts, jsonb_array_elements(lists) as list
group by 1, 2, 3
order by 2, 1, 3;
