-- The interval of full syncs, so that every reader judges freshness by the same one. Staleness counts
-- from the last full sync.
create table {schema}.ac_schedule (
    id integer primary key check (id = 1),
    sync_interval interval not null check (sync_interval > interval '0')
);
insert into {schema}.ac_schedule values (1, interval '15 minutes');

create or replace view {schema}.ac_freshness as
select data_type, record_count, synced_at, clock_timestamp() - read_from as age,
    clock_timestamp() - least(read_from, verified_at)
        < 3 * (select sync_interval from {schema}.ac_schedule) as is_fresh,
    sync_id, read_from, verified_at
from (
    select distinct on (data_type) data_type, record_count, synced_at, sync_id, read_from,
        (select "timestamp" from {schema}.ac_sync_logs where id = published.sync_no) as verified_at
    from {schema}.ac_published as published
    order by data_type, sync_no desc
) as newest;

comment on table {schema}.ac_schedule is 'The interval of full syncs in force, one row.';
comment on column {schema}.ac_schedule.id is 'Always 1';
comment on column {schema}.ac_schedule.sync_interval is
    'As in ACSYNC_INTERVAL: acsync deploy, acsync migrate and syncs write it';
comment on column {schema}.ac_freshness.age is 'Time since read_from';
comment on column {schema}.ac_freshness.is_fresh is
    'Whether the last full sync was less than three intervals ago: since the earlier of read_from and verified_at';
comment on column {schema}.ac_freshness.read_from is
    'Every change before this time is published, as far as the account tells: when the oldest record of a full sync was read, or when an incremental sync began to read';
comment on column {schema}.ac_freshness.verified_at is
    'Start of the last full sync that was published: it proved that nothing is missing';
