-- How many contacts are on each list, by status?
select list_id, name as list, status, contacts
from (select list_id, status, count(*) as contacts from ac_contact_lists group by 1, 2) as counted
left join ac_lists on ac_lists.id = list_id
order by 2, 1, 3;
