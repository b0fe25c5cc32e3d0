-- Which records are really new?
-- The first sync added every record, so its rows in ac_changes say nothing about new ones. Covers the last
-- seven days.
with first_syncs as (
    select 'contacts' as data_type, min(sync_id) as first_id from ac_sync_logs where contacts_success
    union all
    select 'deals', min(sync_id) from ac_sync_logs where deals_success
)
select changed_at, data_type, count(*) as added
from ac_changes join first_syncs using (data_type)
where change = 'added' and sync_id > first_id and changed_at > now() - interval '7 days'
group by changed_at, data_type
order by changed_at desc;
