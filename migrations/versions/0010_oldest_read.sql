-- Each staged record knows how long before `staged_at` it was read, and each publication when the
-- oldest of its records was.

-- Slices that were staged without these times cannot be resumed.
truncate {schema}.ac_staged_contacts, {schema}.ac_staged_deals, {schema}.ac_staged_slices,
    {schema}.ac_staged_plans;
alter table {schema}.ac_staged_slices add column read_before_ms integer[] not null;

-- Syncs before this revision published what they read after their start, if they resumed nothing.
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

comment on view {schema}.ac_freshness is 'How old the published data is: one row per dataset.';
comment on column {schema}.ac_freshness.age is 'Time since read_from';
comment on column {schema}.ac_freshness.is_fresh is 'age is less than three intervals of 15 minutes';
comment on column {schema}.ac_freshness.read_from is 'Nothing that is published was read earlier';
comment on column {schema}.ac_freshness.verified_at is 'Start of the last full sync that was published';
