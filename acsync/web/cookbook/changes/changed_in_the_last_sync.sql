-- What changed in the last sync?
-- The last full sync. Incremental syncs since then have their own rows in ac_changes.
select data_type, change, count(*) as records
from ac_changes
where sync_id = (select sync_id from ac_latest_sync)
group by 1, 2
order by 1, 2;
