-- How many contacts are on each list, by status?
select list ->> 'name' as list, list ->> 'status' as status, count(*) as contacts
from ac_contacts, jsonb_array_elements(lists) as list
group by 1, 2
order by 1, 2;
