-- What was deleted in the kept syncs?
select data_type, record_id, changed_at, coalesce(record ->> 'email', record ->> 'title') as name
from ac_changes
where change = 'deleted'
order by changed_at desc
limit 500;
