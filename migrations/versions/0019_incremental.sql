-- Incremental syncs: the kind of each sync, the start of the next one, and the changes that were missed.

alter table {schema}.ac_sync_logs
    add column kind text not null default 'full' check (kind in ('full', 'incremental')),
    add column contacts_seen integer,
    add column contacts_missed jsonb,
    add column deals_seen integer,
    add column deals_missed jsonb;

-- Without server_time, as in existing rows, incremental syncs wait for the next full one.
alter table {schema}.ac_published
    add column kind text not null default 'full' check (kind in ('full', 'incremental')),
    add column server_time timestamptz;

alter table {schema}.ac_contact_versions add column read_at timestamptz;
alter table {schema}.ac_deal_versions add column read_at timestamptz;

-- Incremental syncs use the definitions of custom fields that the last full sync has read.
alter table {schema}.ac_dimensions
    drop constraint ac_dimensions_dimension_check,
    add check (dimension in (
        'pipelines', 'stages', 'users', 'lists', 'tags', 'contact_fields', 'deal_fields'
    ));

-- How the account answered incremental syncs since the last full sync, which deletes it.
create table {schema}.ac_incremental (
    data_type text primary key check (data_type in ('contacts', 'deals')),
    date_filter text check (date_filter in ('times', 'days', 'ignored', 'refused')),
    reason text,
    unknown_ids text[] not null default '{}'
);

create or replace view {schema}.ac_latest_sync as
select sync_id, "timestamp", total_duration_ms,
    round(total_duration_ms / 1000.0, 2) as duration_seconds,
    round(total_duration_ms / 60000.0, 2) as duration_minutes,
    contacts_success, contacts_count, contacts_error,
    deals_success, deals_count, deals_error, overall_success
from {schema}.ac_sync_logs
where finished_at is not null and kind = 'full'
order by id desc
limit 1;

create or replace view {schema}.ac_sync_statistics as
select count(*) as total_syncs,
    count(*) filter (where overall_success) as successful_syncs,
    round(100.0 * count(*) filter (where overall_success) / nullif(count(*), 0), 2)
        as success_rate,
    round(avg(total_duration_ms) / 1000, 2) as avg_duration_seconds,
    max("timestamp") as last_sync_time,
    round(avg(contacts_count), 2) as avg_contacts_count,
    round(avg(deals_count), 2) as avg_deals_count,
    (select record_count from {schema}.ac_published
     where data_type = 'contacts' order by sync_no desc limit 1) as latest_contacts_count,
    (select record_count from {schema}.ac_published
     where data_type = 'deals' order by sync_no desc limit 1) as latest_deals_count
from {schema}.ac_sync_logs
where finished_at is not null and kind = 'full' and "timestamp" > now() - interval '7 days';

-- Lateral, so that Postgres reads only the newest rows of each dataset.
create or replace view {schema}.ac_freshness as
select newest.data_type, record_count, synced_at, clock_timestamp() - read_from as age,
    clock_timestamp() - least(read_from, verified_at)
        < 3 * (select sync_interval from {schema}.ac_schedule) as is_fresh,
    sync_id, read_from, verified_at
from (values ('contacts'), ('deals')) as datasets (data_type)
cross join lateral (
    select * from {schema}.ac_published as published
    where published.data_type = datasets.data_type order by sync_no desc limit 1
) as newest
left join lateral (
    select "timestamp" as verified_at from {schema}.ac_sync_logs where id = (
        select sync_no from {schema}.ac_published as proven
        where proven.data_type = datasets.data_type and kind = 'full' order by sync_no desc limit 1
    )
) as proof on true
order by data_type;

comment on view {schema}.ac_latest_sync is 'One row: the last finished full sync.';
comment on view {schema}.ac_sync_statistics is 'One row: the finished full syncs of the last seven days.';
comment on table {schema}.ac_sync_logs is
    'One row per sync. Rows of incremental syncs that are older than a day and not in the history are summed up, one per day.';
comment on column {schema}.ac_sync_logs.kind is 'full or incremental';
comment on column {schema}.ac_sync_logs.contacts_seen is
    'Full syncs: changes of contacts that incremental syncs published since the full sync before';
comment on column {schema}.ac_sync_logs.contacts_missed is
    'Full syncs: changes that incremental syncs should have seen, by what changed; dated: the date moved, new: a new record';
comment on column {schema}.ac_sync_logs.deals_seen is
    'Full syncs: changes of deals that incremental syncs published since the full sync before';
comment on column {schema}.ac_sync_logs.deals_missed is
    'Full syncs: changes that incremental syncs should have seen, by what changed; dated: the date moved, new: a new record';
comment on column {schema}.ac_published.kind is 'full or incremental';
comment on column {schema}.ac_published.server_time is
    'When the sync began to read, by ActiveCampaign''s clock: the next incremental sync asks for changes since then';
comment on column {schema}.ac_contact_versions.read_at is 'When the version was read';
comment on column {schema}.ac_deal_versions.read_at is 'When the version was read';
comment on table {schema}.ac_incremental is
    'One row per dataset: what incremental syncs have learned about the account since the last full sync.';
comment on column {schema}.ac_incremental.data_type is 'contacts or deals';
comment on column {schema}.ac_incremental.date_filter is
    'How the account answers questions about dates: to the second (times), by days alone, not at all (ignored), or with an error (refused)';
comment on column {schema}.ac_incremental.reason is 'Why the dataset is not read incrementally';
comment on column {schema}.ac_incremental.unknown_ids is
    'Ids that a listing did not have when it was read for them, such as users:901';
