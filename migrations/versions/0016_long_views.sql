-- Long views: one row per contact and tag, per contact and list, and per record and choice. BI tools can
-- filter and group them, which they cannot do with arrays.

-- Choices of a contact field have a value and a label. Values of a deal field have the label itself.
alter table {schema}.ac_field_columns add column labels text[];

-- A column comment of the wide views: title, type and id of the field, and its choices with their labels.
create function {schema}.ac_field_comment(
    title text, key text, type text, field_id text, options text[], labels text[]
) returns text
language sql immutable
begin atomic
    select format('%s (%s, field %s)%s', coalesce(nullif(title, ''), key), type, field_id, ': ' || (
        select string_agg(
            case when label <> choice then format('%s (%s)', choice, label) else choice end,
            ', ' order by place)
        from unnest(options, labels) with ordinality as listed (choice, label, place)
    ));
end;

-- The tags and memberships of a contact by their ids, as acsync.enrich.relations makes them:
-- {"tags": {ID: [name, added]}, "lists": {ID: [name, status, subscribed, unsubscribed, reason]}}.
-- Times are seconds since 1970. The first sync after this migration fills the column in place.
-- Storage main keeps it in the row: reading it from TOAST would cost three more buffers per contact. The
-- short columns stay there as well. Postgres moves even an email address to TOAST if the row is too long.
alter table {schema}.ac_contact_versions
    add column relations jsonb,
    alter column relations set storage main,
    alter column email set storage main,
    alter column first_name set storage main,
    alter column last_name set storage main,
    alter column phone set storage main;

-- Slices that were staged without it cannot be resumed.
truncate {schema}.ac_staged_contacts, {schema}.ac_staged_deals, {schema}.ac_staged_slices,
    {schema}.ac_staged_plans;
alter table {schema}.ac_staged_contacts add column relations jsonb;

create view {schema}.ac_contact_tags as
select version.record_id as contact_id, entry.key::bigint as tag_id, entry.value ->> 0 as tag,
    to_timestamp((entry.value ->> 1)::bigint) as added_at
from {schema}.ac_contact_versions as version
cross join lateral jsonb_each(version.relations -> 'tags') as entry
where version.valid_to is null;

create view {schema}.ac_contact_lists as
select version.record_id as contact_id, entry.key::bigint as list_id, entry.value ->> 0 as list,
    entry.value ->> 1 as status,
    to_timestamp((entry.value ->> 2)::bigint) as subscribed_at,
    to_timestamp((entry.value ->> 3)::bigint) as unsubscribed_at,
    entry.value ->> 4 as reason
from {schema}.ac_contact_versions as version
cross join lateral jsonb_each(version.relations -> 'lists') as entry
where version.valid_to is null;

create or replace view {schema}.ac_fields as
select data_type, field_id, key, title, type, options, column_name, first_sync,
    coalesce(last_sync, (
        select published.sync_id from {schema}.ac_published as published
        where published.data_type = fields.data_type order by sync_no desc limit 1
    )) as last_sync,
    labels
from {schema}.ac_field_columns as fields;

-- The choices of a value: one for a dropdown, several for ||one||two|| or an array; each of them once.
create function {schema}.ac_chosen(value jsonb) returns setof text
language sql immutable parallel safe
begin atomic
    select choice
    from (
        select case jsonb_typeof(value)
            when 'string' then string_to_array(value #>> '{}', '||')
            when 'number' then array[value #>> '{}']
            when 'array' then {schema}.ac_choices(value)
        end as choices
    ) as list
    cross join lateral unnest(choices) with ordinality as chosen (choice, place)
    -- Sorting out the second ones would take twice as long.
    where choice <> '' and place = array_position(choices, choice);
end;

-- A field that had several types has the newest one. A choice that a value has twice is one row.
create view {schema}.ac_field_choices as
with fields as (
    select data_type, field_id, key, options, labels
    from (
        select distinct on (data_type, field_id) data_type, field_id, key, type, options, labels
        from {schema}.ac_field_columns
        order by data_type, field_id, last_sync is null desc, position desc
    ) as newest
    where type in ('dropdown', 'radio', 'listbox', 'checkbox', 'multiselect')
)
select 'contacts' as data_type, version.record_id, fields.field_id, fields.key, chosen.choice,
    coalesce(fields.labels[array_position(fields.options, chosen.choice)], chosen.choice) as label
from fields
join {schema}.ac_contact_versions as version on version.field_values ? fields.field_id
cross join lateral {schema}.ac_chosen(version.field_values -> fields.field_id) as chosen (choice)
where fields.data_type = 'contacts' and version.valid_to is null
union all
select 'deals', version.record_id, fields.field_id, fields.key, chosen.choice,
    coalesce(fields.labels[array_position(fields.options, chosen.choice)], chosen.choice)
from fields
join {schema}.ac_deal_versions as version on version.field_values ? fields.field_id
cross join lateral {schema}.ac_chosen(version.field_values -> fields.field_id) as chosen (choice)
where fields.data_type = 'deals' and version.valid_to is null;

-- As in 0011, with the labels.
create or replace function {schema}.ac_wide_view_changes(dataset text) returns text
language sql stable
begin atomic
    with place as (
        select own.relnamespace, wide.oid as view_oid, format(
            '%s.%I', own.relnamespace::regnamespace, 'ac_' || dataset || '_wide') as view_name
        from pg_class as own left join pg_class as wide
            on wide.relnamespace = own.relnamespace and wide.relname = 'ac_' || dataset || '_wide'
        where own.oid = '{schema}.ac_field_columns'::regclass
    ), columns as (
        select position, attnum, format('comment on column %s.%I is %L', view_name, column_name, comment)
            as statement, col_description(view_oid, attnum) is distinct from comment as is_outdated
        from place
        cross join {schema}.ac_field_columns
        cross join lateral {schema}.ac_field_comment(title, key, type, field_id, options, labels) as comment
        left join pg_attribute on attrelid = view_oid and attname = column_name
        where data_type = dataset and column_name is not null
    )
    select nullif(concat_ws(E';\n',
        case when bool_or(attnum is null) then {schema}.ac_wide_view_sql(dataset) end,
        string_agg(statement, E';\n' order by position) filter (where is_outdated)
    ), '')
    from columns;
end;

comment on column {schema}.ac_contact_versions.relations is
    'Tags and memberships by their ids, as ac_contact_tags and ac_contact_lists show them';

do $comments$
declare
    described record;
begin
    for described in
        select relname, comment
        from (values
            ('ac_contact_tags', 'One row per contact and tag. Empty if tags do not come with the contacts (ACSYNC_SIDELOADS), and until the first sync after the upgrade.'),
            ('ac_contact_lists', 'One row per contact and list. Empty if lists do not come with the contacts (ACSYNC_SIDELOADS), and until the first sync after the upgrade.'),
            ('ac_field_choices', 'One row per record and choice of a custom field: dropdown, radio, listbox, checkbox or multiselect.')
        ) as comments (name, comment)
        join pg_class on relname = name and relnamespace = '{schema}'::regnamespace
    loop
        execute format('comment on view {schema}.%I is %L', described.relname, described.comment);
    end loop;
    for described in
        select relname, attname, comment
        from (values
            ('ac_contact_tags ac_contact_lists', 'contact_id', 'Id of the contact in ActiveCampaign, as in ac_contacts'),
            ('ac_contact_tags', 'tag_id', 'Id of the tag in ActiveCampaign, as in ac_tags'),
            ('ac_contact_tags', 'tag', 'Name of the tag. Two tags can have the same name.'),
            ('ac_contact_tags', 'added_at', 'Time at which the contact got the tag; null if ActiveCampaign does not say'),
            ('ac_contact_lists', 'list_id', 'Id of the list in ActiveCampaign, as in ac_lists'),
            ('ac_contact_lists', 'list', 'Name of the list. Two lists can have the same name.'),
            ('ac_contact_lists', 'status', 'active, unsubscribed, unconfirmed or bounced; a status that acsync does not know is a number'),
            ('ac_contact_lists', 'subscribed_at', 'Time at which the contact subscribed; null if ActiveCampaign does not say'),
            ('ac_contact_lists', 'unsubscribed_at', 'Time at which the contact unsubscribed, or null'),
            ('ac_contact_lists', 'reason', 'Why the contact unsubscribed, in its own words; null if it did not say'),
            ('ac_field_choices', 'data_type', 'contacts or deals'),
            ('ac_field_choices', 'record_id', 'Id of the contact or deal in ActiveCampaign'),
            ('ac_field_choices', 'field_id', 'Id of the field in ActiveCampaign, as in ac_fields'),
            ('ac_field_choices', 'key', 'Key of the field in custom_fields'),
            ('ac_field_choices', 'choice', 'The choice as the record has it'),
            ('ac_field_choices', 'label', 'The choice as people see it; the choice itself if the field no longer offers it'),
            ('ac_fields', 'options', 'Choices of the field as records have them'),
            ('ac_fields', 'labels', 'Choices of the field as people see them, in the same order'),
            ('ac_field_columns', 'labels', 'Choices of the field as people see them, in the order of options')
        ) as comments (relations, name, comment)
        join pg_class on relname = any (string_to_array(relations, ' ')) and relnamespace = '{schema}'::regnamespace
        join pg_attribute on attrelid = pg_class.oid and attname = name
    loop
        execute format(
            'comment on column {schema}.%I.%I is %L', described.relname, described.attname, described.comment);
    end loop;
end
$comments$;
