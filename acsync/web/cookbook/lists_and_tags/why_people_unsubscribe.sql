-- Why do people unsubscribe?
-- Most people say nothing, which is null here.
select list_id, list, reason, count(*) as contacts, max(unsubscribed_at) as last_time
from ac_contact_lists
where status = 'unsubscribed'
group by list_id, list, reason
order by contacts desc, list, reason;
