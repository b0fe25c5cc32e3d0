-- How many contacts are on each list, by status?
select list_id, list, status, count(*) as contacts
from ac_contact_lists
group by list_id, list, status
order by list, list_id, status;
