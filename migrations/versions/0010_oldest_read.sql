-- Store how long before `staged_at` each staged record was read, and per publication when the oldest
-- record was read.

-- Slices without these times cannot be resumed.
truncate {schema}.ac_staged_contacts, {schema}.ac_staged_deals, {schema}.ac_staged_slices,
    {schema}.ac_staged_plans;
alter table {schema}.ac_staged_slices
    add column read_before_ms integer[] not null,
    -- Masked deals are counted once they are published.
    drop column masked_ids;

-- Before this revision a sync that resumed nothing published records that it read after its start.
alter table {schema}.ac_published add column read_from timestamptz;
update {schema}.ac_published as published
set read_from = least(synced_at, coalesce(
    (select "timestamp" from {schema}.ac_sync_logs where id = published.sync_no),
    synced_at - duration_ms * interval '1 millisecond'
));
alter table {schema}.ac_published alter column read_from set not null;

create or replace view {schema}.ac_freshness as
select distinct on (data_type) data_type, record_count, synced_at,
    clock_timestamp() - read_from as age,
    clock_timestamp() - read_from < interval '45 minutes' as is_fresh,
    sync_id, read_from,
    (select "timestamp" from {schema}.ac_sync_logs where id = published.sync_no) as verified_at
from {schema}.ac_published as published
order by data_type, sync_no desc;
