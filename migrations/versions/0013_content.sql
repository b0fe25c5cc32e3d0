-- Updates that are changes of content, history that is not lost by accident, and the last known names of
-- pipelines, stages, owners, lists and tags.

-- A refresh is a record whose content is the same as before: only names, links or counters differ.
-- Slices that were staged without it cannot be resumed.
truncate {schema}.ac_staged_contacts, {schema}.ac_staged_deals, {schema}.ac_staged_slices,
    {schema}.ac_staged_plans;
alter table {schema}.ac_staged_contacts add column is_refresh boolean not null default false;
alter table {schema}.ac_staged_deals add column is_refresh boolean not null default false;

alter table {schema}.ac_sync_logs
    add column contacts_refreshed integer,
    add column contacts_dropped integer,
    add column deals_refreshed integer,
    add column deals_dropped integer;

-- When each version was published, also if its sync is no longer kept. Changing the type fills the column
-- by one rewrite of the table, which leaves no dead rows.
create function {schema}.ac_published_at(number bigint) returns timestamptz
language sql stable
return coalesce(
    (select synced_at from {schema}.ac_published where sync_no = number limit 1),
    (select finished_at from {schema}.ac_sync_logs where id = number),
    now()
);
alter table {schema}.ac_contact_versions add column changed_at timestamptz;
alter table {schema}.ac_contact_versions
    alter column changed_at type timestamptz using {schema}.ac_published_at(valid_from),
    alter column changed_at set default now(),
    alter column changed_at set not null;
alter table {schema}.ac_deal_versions add column changed_at timestamptz;
alter table {schema}.ac_deal_versions
    alter column changed_at type timestamptz using {schema}.ac_published_at(valid_from),
    alter column changed_at set default now(),
    alter column changed_at set not null;
drop function {schema}.ac_published_at;

create or replace view {schema}.ac_contacts as
select record_id as contact_id, email, first_name, last_name, phone, created_at, updated_at,
    custom_fields, record,
    (select synced_at from {schema}.ac_published
     where data_type = 'contacts' order by sync_no desc limit 1) as synced_at,
    tags, lists, changed_at
from {schema}.ac_contact_versions
where valid_to is null;

create or replace view {schema}.ac_deals as
select record_id as deal_id, title, value_minor, round(value_minor / 100.0, 2) as value, currency, status,
    pipeline_id, pipeline, stage_id, stage, owner_id, owner, contact_id, created_at, updated_at,
    is_masked, custom_fields, record,
    (select synced_at from {schema}.ac_published
     where data_type = 'deals' order by sync_no desc limit 1) as synced_at,
    changed_at
from {schema}.ac_deal_versions
where valid_to is null;

-- The history in force, as in ACSYNC_KEEP_SYNCS: an age such as 30d, or a number of syncs. An existing
-- copy keeps at least what it has, until a sync with a longer value or `acsync migrate --keep`.
create table {schema}.ac_retention (
    id integer primary key check (id = 1),
    keep text not null
);
insert into {schema}.ac_retention
select 1, floor(extract(epoch from max(synced_at) - min(synced_at)) / 3600)::bigint || 'h'
from {schema}.ac_published
having max(synced_at) - min(synced_at) >= interval '1 hour';

-- The last known row of each pipeline, stage, owner, list and tag.
create table {schema}.ac_dimensions (
    dimension text not null check (dimension in ('pipelines', 'stages', 'users', 'lists', 'tags')),
    id bigint not null,
    body jsonb not null,
    is_listed boolean not null,
    primary key (dimension, id)
);
insert into {schema}.ac_dimensions
select distinct on (dimension, id) dimension, id, body, valid_to is null
from {schema}.ac_deal_versions
cross join lateral (values
    ('pipelines', pipeline_id, record -> 'pipelineData'),
    ('stages', stage_id, record -> 'stageData'),
    ('users', owner_id, record -> 'ownerData')
) as named (dimension, id, body)
where jsonb_typeof(body) = 'object' and id is not null and body ->> 'id' = id::text
order by dimension, id, valid_to is null desc, valid_from desc;
insert into {schema}.ac_dimensions
select distinct on (list_id) 'lists', list_id,
    jsonb_build_object('id', membership ->> 'id', 'name', membership ->> 'name'), valid_to is null
from {schema}.ac_contact_versions
cross join lateral jsonb_array_elements(
    case when jsonb_typeof(lists) = 'array' then lists else '[]' end
) as memberships (membership)
cross join lateral {schema}.ac_bigint(membership ->> 'id') as list_id
where list_id is not null and membership ->> 'name' is not null
order by list_id, valid_to is null desc, valid_from desc;

create view {schema}.ac_pipelines as
select id, body ->> 'title' as name, body ->> 'currency' as currency, is_listed
from {schema}.ac_dimensions where dimension = 'pipelines';

create view {schema}.ac_stages as
select id, body ->> 'title' as name, {schema}.ac_bigint(body ->> 'group') as pipeline_id,
    {schema}.ac_bigint(body ->> 'order') as position, is_listed
from {schema}.ac_dimensions where dimension = 'stages';

create view {schema}.ac_owners as
select id,
    coalesce(
        nullif(btrim(concat(body ->> 'firstName', ' ', body ->> 'lastName')), ''),
        body ->> 'username',
        body ->> 'email'
    ) as name,
    body ->> 'username' as username, body ->> 'email' as email, is_listed
from {schema}.ac_dimensions where dimension = 'users';

create view {schema}.ac_lists as
select id, body ->> 'name' as name, is_listed
from {schema}.ac_dimensions where dimension = 'lists';

create view {schema}.ac_tags as
select id, body ->> 'tag' as name, is_listed
from {schema}.ac_dimensions where dimension = 'tags';

-- With 30 days of history, a list of all kept syncs would be too long for a message.
-- A dataset that failed in that sync is returned as last published before it.
create or replace function {schema}.ac_records_as_of(sync_id text)
returns table (data_type text, record_id bigint, record jsonb)
language sql stable
begin atomic
    with requested as (
        select min(published.sync_no) as sync_no from {schema}.ac_published as published
        where published.sync_id = ac_records_as_of.sync_id
    ), kept as (
        select requested.sync_no,
            max(published.sync_no) filter (where published.data_type = 'contacts') as contacts_no,
            max(published.sync_no) filter (where published.data_type = 'deals') as deals_no
        from requested left join {schema}.ac_published as published on published.sync_no <= requested.sync_no
        group by requested.sync_no
    ), checked as materialized (
        select contacts_no, deals_no from kept
        where case
            when sync_no is null then {schema}.ac_fail(format(
                'acsync: %s is not a kept sync. Kept are: %s',
                coalesce(ac_records_as_of.sync_id, 'null'),
                (select coalesce(string_agg(newest.sync_id, ', ' order by newest.sync_no desc), 'none')
                    || case when count(*) = 10 then ' and older ones' else '' end
                 from (
                     select distinct published.sync_no, published.sync_id
                     from {schema}.ac_published as published order by published.sync_no desc limit 10
                 ) as newest)))
            when contacts_no is null and exists (
                select from {schema}.ac_sync_logs as log where log.id <= kept.sync_no and log.contacts_success
            ) then {schema}.ac_fail(format(
                'acsync: the contacts as of %s are no longer kept, only its deals', ac_records_as_of.sync_id))
            when deals_no is null and exists (
                select from {schema}.ac_sync_logs as log where log.id <= kept.sync_no and log.deals_success
            ) then {schema}.ac_fail(format(
                'acsync: the deals as of %s are no longer kept, only its contacts', ac_records_as_of.sync_id))
            else true
        end
    )
    select versions.data_type, versions.record_id, versions.record
    -- Lateral, so that the arguments are checked even if no version is kept.
    from checked cross join lateral (
        select 'contacts' as data_type, version.record_id, version.record
        from {schema}.ac_contact_versions as version
        where version.valid_from <= checked.contacts_no
            and (version.valid_to is null or version.valid_to > checked.contacts_no)
        union all
        select 'deals', version.record_id, version.record
        from {schema}.ac_deal_versions as version
        where version.valid_from <= checked.deals_no
            and (version.valid_to is null or version.valid_to > checked.deals_no)
    ) as versions;
end;

do $comments$
declare
    described record;
begin
    for described in
        select relname, comment
        from (values
            ('ac_pipelines', 'One row per pipeline that acsync has seen, with its last known name.'),
            ('ac_stages', 'One row per stage that acsync has seen, with its last known name.'),
            ('ac_owners', 'One row per user that acsync has seen, with the last known name.'),
            ('ac_lists', 'One row per list that acsync has seen, with its last known name.'),
            ('ac_tags', 'One row per tag that a contact has had since acsync reads tags, with its last known name.')
        ) as comments (name, comment)
        join pg_class on relname = name and relnamespace = '{schema}'::regnamespace
    loop
        execute format('comment on view {schema}.%I is %L', described.relname, described.comment);
    end loop;
    for described in
        select relname, attname, comment
        from (values
            ('ac_contacts ac_deals', 'changed_at', 'Time of publishing of the last change. New names and counters are no change.'),
            ('ac_pipelines', 'id', 'Id of the pipeline in ActiveCampaign, as in ac_deals.pipeline_id'),
            ('ac_stages', 'id', 'Id of the stage in ActiveCampaign, as in ac_deals.stage_id'),
            ('ac_owners', 'id', 'Id of the user in ActiveCampaign, as in ac_deals.owner_id'),
            ('ac_lists', 'id', 'Id of the list in ActiveCampaign, as in ac_contacts.lists'),
            ('ac_tags', 'id', 'Id of the tag in ActiveCampaign'),
            ('ac_pipelines ac_stages ac_lists ac_tags', 'name', 'Last known name'),
            ('ac_owners', 'name', 'First and last name, or the user name or email address if there is none'),
            ('ac_pipelines', 'currency', 'Currency of new deals'),
            ('ac_stages', 'pipeline_id', 'Id of the stage''s pipeline, as in ac_pipelines'),
            ('ac_stages', 'position', 'Place of the stage in its pipeline, from left to right'),
            ('ac_owners', 'username', 'Name for signing in'),
            ('ac_owners', 'email', 'Email address of the user'),
            ('ac_pipelines ac_stages ac_owners ac_lists', 'is_listed', 'Whether the last sync found it in ActiveCampaign'),
            ('ac_tags', 'is_listed', 'Whether a contact had the tag in the last sync that read all contacts')
        ) as comments (relations, name, comment)
        join pg_class on relname = any (string_to_array(relations, ' ')) and relnamespace = '{schema}'::regnamespace
        join pg_attribute on attrelid = pg_class.oid and attname = name
    loop
        execute format(
            'comment on column {schema}.%I.%I is %L', described.relname, described.attname, described.comment);
    end loop;
end
$comments$;
