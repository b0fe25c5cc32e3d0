-- History that people can query: versions and changed fields by time, deleted records, and why deals
-- left their stages.

-- Most existing stays began before acsync saw the deal, so only the others are written.
alter table {schema}.ac_deal_stages
    add column is_baseline boolean not null default true,
    add column left_because text check (left_because in ('moved', 'closed', 'reopened', 'deleted'));
alter table {schema}.ac_deal_stages alter column is_baseline drop default;

-- A stay was seen to begin if the deal left another one then, or has a higher id than all deals before.
with known as (
    select entered_at, max(max(deal_id)) over (
        order by entered_at rows between unbounded preceding and 1 preceding
    ) as highest_id
    from {schema}.ac_deal_stages group by entered_at
)
update {schema}.ac_deal_stages as stay set is_baseline = false
from known
where known.entered_at = stay.entered_at and (stay.deal_id > known.highest_id or exists (
    select from {schema}.ac_deal_stages as previous
    where previous.deal_id = stay.deal_id and previous.left_at = stay.entered_at
      and previous.status is not null
));

update {schema}.ac_deal_stages as stay set left_because = (
    select case
        when next.deal_id is null then 'deleted'
        when stay.status in ('won', 'lost') and next.status = 'open' then 'reopened'
        when stay.status <> next.status then 'closed'
        else 'moved'
    end
    from (select) as one_row left join {schema}.ac_deal_stages as next
        on next.deal_id = stay.deal_id and next.entered_at = stay.left_at
)
where left_at is not null;

-- A record that comes back is taken out again.
create table {schema}.ac_deleted (
    data_type text not null check (data_type in ('contacts', 'deals')),
    record_id bigint not null,
    created_at timestamptz,
    deleted_at timestamptz not null,
    primary key (data_type, record_id)
);

insert into {schema}.ac_deleted
select distinct on (data_type, record_id) data_type, record_id, created_at, synced_at
from (
    select 'contacts' as data_type, record_id, created_at, valid_to from {schema}.ac_contact_versions as version
    where valid_to is not null and not exists (
        select from {schema}.ac_contact_versions as later
        where later.record_id = version.record_id and later.valid_to is null
    )
    union all
    select 'deals', record_id, created_at, valid_to from {schema}.ac_deal_versions as version
    where valid_to is not null and not exists (
        select from {schema}.ac_deal_versions as later
        where later.record_id = version.record_id and later.valid_to is null
    )
) as gone
join {schema}.ac_published as published using (data_type)
where published.sync_no = gone.valid_to
order by data_type, record_id, valid_to desc;

-- The stays know the deals whose versions are no longer kept.
insert into {schema}.ac_deleted
select 'deals', deal_id, null, max(left_at)
from {schema}.ac_deal_stages
group by deal_id
having bool_and(left_at is not null)
on conflict do nothing;

-- The first stay with the present status, after the last one with another status.
create or replace view {schema}.ac_deals as
select record_id as deal_id, title, value_minor, round(value_minor / 100.0, 2) as value, currency, status,
    pipeline_id, pipeline, stage_id, stage, owner_id, owner, contact_id, created_at, updated_at,
    is_masked, custom_fields, record,
    (select synced_at from {schema}.ac_published
     where data_type = 'deals' order by sync_no desc limit 1) as synced_at,
    changed_at,
    case when status in ('won', 'lost') then (
        select case when not stay.is_baseline then stay.entered_at end
        from {schema}.ac_deal_stages as stay
        where stay.deal_id = version.record_id and stay.entered_at > coalesce((
            select max(other.entered_at) from {schema}.ac_deal_stages as other
            where other.deal_id = version.record_id and other.status is distinct from version.status
        ), '-infinity')
        order by stay.entered_at limit 1
    ) end as closed_at
from {schema}.ac_deal_versions as version
where valid_to is null;

-- A join, so that Postgres leaves it out of a query without valid_to.
create view {schema}.ac_contact_history as
select record_id as contact_id, email, first_name, last_name, phone, created_at, updated_at,
    custom_fields, record,
    (select synced_at from {schema}.ac_published
     where data_type = 'contacts' order by sync_no desc limit 1) as synced_at,
    tags, lists, changed_at, changed_at as valid_from, closing.synced_at as valid_to
from {schema}.ac_contact_versions as version
left join {schema}.ac_published as closing
    on closing.data_type = 'contacts' and closing.sync_no = version.valid_to;

create view {schema}.ac_deal_history as
select record_id as deal_id, title, value_minor, round(value_minor / 100.0, 2) as value, currency, status,
    pipeline_id, pipeline, stage_id, stage, owner_id, owner, contact_id, created_at, updated_at,
    is_masked, custom_fields, record,
    (select synced_at from {schema}.ac_published
     where data_type = 'deals' order by sync_no desc limit 1) as synced_at,
    changed_at,
    case when status in ('won', 'lost') then (
        select case when not stay.is_baseline then stay.entered_at end
        from {schema}.ac_deal_stages as stay
        where stay.deal_id = version.record_id and stay.entered_at <= version.changed_at
          and stay.entered_at > coalesce((
            select max(other.entered_at) from {schema}.ac_deal_stages as other
            where other.deal_id = version.record_id and other.status is distinct from version.status
              and other.entered_at <= version.changed_at
        ), '-infinity')
        order by stay.entered_at limit 1
    ) end as closed_at,
    changed_at as valid_from, closing.synced_at as valid_to
from {schema}.ac_deal_versions as version
left join {schema}.ac_published as closing
    on closing.data_type = 'deals' and closing.sync_no = version.valid_to;

-- Fields are compared by id. The list of fields comes first, so that a filter on `field` spares the rest.
create view {schema}.ac_field_changes as
with fields as (
    select distinct on (data_type, field_id) data_type, field_id, 'custom_fields.' || key as field, type
    from {schema}.ac_field_columns
    order by data_type, field_id, last_sync is null desc, position desc
), named_values as (
    select data_type, field_id as id, field from fields
    union all
    select data_type, field_id || '_currency', field || '_currency' from fields where type = 'currency'
)
select published.synced_at as changed_at, published.sync_id, published.data_type, version.record_id,
    change.field, change.was, change.became
from {schema}.ac_published as published
join {schema}.ac_contact_versions as version on version.valid_from = published.sync_no
join {schema}.ac_contact_versions as before
    on before.record_id = version.record_id and before.valid_to = version.valid_from
cross join lateral (
    select field, was, became
    from (values
        ('email', before.email, version.email),
        ('first_name', before.first_name, version.first_name),
        ('last_name', before.last_name, version.last_name),
        ('phone', before.phone, version.phone)
    ) as compared (field, was, became)
    where was is distinct from became
    union all
    select field, before.field_values ->> id, version.field_values ->> id
    from named_values
    where data_type = 'contacts' and before.field_values <> version.field_values
      and before.field_values -> id is distinct from version.field_values -> id
    union all
    -- A renamed tag has the same id. A relation that was not read is null and lost nothing.
    select 'tags', old.tag, new.tag
    from unnest(before.tags) as old (tag) full join unnest(version.tags) as new (tag) on new.tag = old.tag
    where (old.tag is null or new.tag is null) and before.tags <> version.tags
      and (before.record -> 'contactTags' = version.record -> 'contactTags') is not true
    union all
    select 'lists.' || coalesce(new.list ->> 'id', old.list ->> 'id'), old.list ->> 'status', new.list ->> 'status'
    from jsonb_path_query(before.lists, '$[*]') as old (list)
    full join jsonb_path_query(version.lists, '$[*]') as new (list) on new.list ->> 'id' = old.list ->> 'id'
    where old.list ->> 'status' is distinct from new.list ->> 'status' and before.lists <> version.lists
) as change
where published.data_type = 'contacts'
union all
select published.synced_at, published.sync_id, published.data_type, version.record_id,
    change.field, change.was, change.became
from {schema}.ac_published as published
join {schema}.ac_deal_versions as version on version.valid_from = published.sync_no
join {schema}.ac_deal_versions as before
    on before.record_id = version.record_id and before.valid_to = version.valid_from
cross join lateral (
    select field, was, became
    from (values
        ('title', before.title, version.title),
        ('value', round(before.value_minor / 100.0, 2)::text, round(version.value_minor / 100.0, 2)::text),
        ('currency', before.currency, version.currency),
        ('status', before.status, version.status),
        ('pipeline_id', before.pipeline_id::text, version.pipeline_id::text),
        ('stage_id', before.stage_id::text, version.stage_id::text),
        ('owner_id', before.owner_id::text, version.owner_id::text),
        ('contact_id', before.contact_id::text, version.contact_id::text),
        ('is_masked', before.is_masked::text, version.is_masked::text)
    ) as compared (field, was, became)
    where was is distinct from became
    union all
    select field, before.field_values ->> id, version.field_values ->> id
    from named_values
    where data_type = 'deals' and before.field_values <> version.field_values
      and before.field_values -> id is distinct from version.field_values -> id
) as change
where published.data_type = 'deals';

comment on table {schema}.ac_deleted is
    'One row per record that is no longer in ActiveCampaign, kept permanently, without personal data.';

do $comments$
declare
    described record;
begin
    for described in
        select relname, comment
        from (values
            ('ac_contact_history', 'One row per kept version of a contact, with the time in which it was valid.'),
            ('ac_deal_history', 'One row per kept version of a deal, with the time in which it was valid.'),
            ('ac_field_changes', 'One row per field that a kept sync found changed in an existing record.')
        ) as comments (name, comment)
        join pg_class on relname = name and relnamespace = '{schema}'::regnamespace
    loop
        execute format('comment on view {schema}.%I is %L', described.relname, described.comment);
    end loop;
    -- The columns of the history are described like those of the current records.
    for described in
        select history.relname, attribute.attname, col_description(source.oid, columns.attnum) as comment
        from (values ('ac_contact_history', 'ac_contacts'), ('ac_deal_history', 'ac_deals')) as pairs (name, like_name)
        join pg_class as history
            on history.relname = name and history.relnamespace = '{schema}'::regnamespace
        join pg_class as source
            on source.relname = like_name and source.relnamespace = '{schema}'::regnamespace
        join pg_attribute as attribute on attribute.attrelid = history.oid
        join pg_attribute as columns
            on columns.attrelid = source.oid and columns.attname = attribute.attname and columns.attnum > 0
        union all
        select relname, attname, comment
        from (values
            ('ac_deals ac_deal_history', 'closed_at', 'Time of the sync that saw the deal become won or lost, or null if no sync saw it'),
            ('ac_contact_history ac_deal_history', 'synced_at', 'Time of the last publishing'),
            ('ac_contact_history ac_deal_history', 'valid_from', 'Time of publishing of this version'),
            ('ac_contact_history ac_deal_history', 'valid_to', 'Time of the sync that saw the record changed or deleted, or null for the current version'),
            ('ac_field_changes', 'changed_at', 'Time of publishing'),
            ('ac_field_changes', 'sync_id', 'Id of the sync, as in ac_sync_logs'),
            ('ac_field_changes ac_deleted', 'data_type', 'contacts or deals'),
            ('ac_field_changes ac_deleted', 'record_id', 'Id of the record in ActiveCampaign'),
            ('ac_field_changes', 'field', 'Column of ac_contacts or ac_deals; custom_fields.KEY; tags; lists.ID, whose values are the status'),
            ('ac_field_changes', 'was', 'Value before, or null if there was none'),
            ('ac_field_changes', 'became', 'Value after, or null if there is none'),
            ('ac_deleted', 'created_at', 'Time of creation in ActiveCampaign, if known'),
            ('ac_deleted', 'deleted_at', 'Time of the sync that no longer found the record'),
            ('ac_deal_stages', 'is_baseline', 'No sync saw the deal enter: it was there already, and entered_at is when it was first seen'),
            ('ac_deal_stages', 'left_because', 'moved, closed (became won or lost), reopened or deleted; null while it stays')
        ) as comments (relations, name, comment)
        join pg_class on relname = any (string_to_array(relations, ' ')) and relnamespace = '{schema}'::regnamespace
        join pg_attribute on attrelid = pg_class.oid and attname = name
    loop
        execute format(
            'comment on column {schema}.%I.%I is %L', described.relname, described.attname, described.comment);
    end loop;
end
$comments$;
