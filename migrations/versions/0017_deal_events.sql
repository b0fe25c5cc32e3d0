-- The optional dataset deal_events: changes of stage and status, as /dealActivities lists them.

create table {schema}.ac_deal_events (
    id bigint primary key,
    deal_id bigint not null,
    kind text not null check (kind in ('stage', 'status')),
    was text,
    became text,
    happened_at timestamptz,
    user_id bigint,
    read_at timestamptz not null default now()
);
create index ac_deal_events_deal on {schema}.ac_deal_events (deal_id, happened_at);

-- How far each type of activity was read. Stays that began before filled_at were filled from the events.
create table {schema}.ac_deal_event_readings (
    data_type text primary key,
    state jsonb not null,
    filled_at timestamptz
);

-- The ids of a collection without a usable order, with the last pass that returned each.
create table {schema}.ac_deal_activities_seen (
    data_type text not null,
    id bigint not null,
    pass integer not null,
    primary key (data_type, id)
);

comment on table {schema}.ac_deal_events is
    'One row per change of a deal''s stage or status that ActiveCampaign lists; kept permanently. Empty without the dataset deal_events.';

do $comments$
declare
    described record;
begin
    for described in
        select relname, attname, comment
        from (values
            ('ac_deal_events', 'id', 'Id of the activity in ActiveCampaign'),
            ('ac_deal_events', 'deal_id', 'Id of the deal in ActiveCampaign, which may have been deleted'),
            ('ac_deal_events', 'kind', 'stage or status'),
            ('ac_deal_events', 'was', 'Stage id, or open, won or lost, before the change; null if unknown'),
            ('ac_deal_events', 'became', 'Stage id, or open, won or lost, after the change; null if unknown'),
            ('ac_deal_events', 'happened_at', 'Time of the change in ActiveCampaign'),
            ('ac_deal_events', 'user_id', 'Id of the user who made the change, or null for an automation'),
            ('ac_deal_events', 'read_at', 'Time at which acsync stored the event'),
            ('ac_deal_stages', 'entered_at', 'Time of the sync that first saw the deal in this stage and status; before the first sync, time of the event'),
            ('ac_deal_stages', 'left_at', 'Time of the sync that saw the deal elsewhere, or of the event before the first sync; null while it stays'),
            ('ac_deal_stages', 'is_baseline', 'Neither a sync nor an event tells when the deal entered: entered_at is when it was first seen'),
            ('ac_deals ac_deal_history', 'closed_at', 'Time of the sync that saw the deal become won or lost, or of the event before the first sync; null if unknown')
        ) as comments (relations, name, comment)
        join pg_class on relname = any (string_to_array(relations, ' ')) and relnamespace = '{schema}'::regnamespace
        join pg_attribute on attrelid = pg_class.oid and attname = name
    loop
        execute format(
            'comment on column {schema}.%I.%I is %L', described.relname, described.attname, described.comment);
    end loop;
end
$comments$;
