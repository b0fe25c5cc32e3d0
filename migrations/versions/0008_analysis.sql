-- Values as the wide views show them. As in the other conversions, what cannot be read is null.

create function {schema}.ac_date(value text) returns date
language plpgsql immutable parallel safe as $$
begin
    if value !~* '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([t ].*)?$' or value like '0000%' then
        return null;
    end if;
    if substr(value, 9, 2)::integer > extract(
        day from make_date(substr(value, 1, 4)::integer, substr(value, 6, 2)::integer, 1)
        + interval '1 month' - interval '1 day'
    ) then
        return null;
    end if;
    return substr(value, 1, 10)::date;
end
$$;

create function {schema}.ac_numeric(value text) returns numeric
language sql immutable parallel safe as $$
    select case when value ~ '^\s*[+-]?([0-9]{1,200}([.][0-9]{0,200})?|[.][0-9]{1,200})\s*$' then value::numeric end
$$;

-- Both forms of several choices: ||one||two|| and an array.
create function {schema}.ac_choices(value jsonb) returns text[]
language sql immutable parallel safe as $$
    select case jsonb_typeof(value)
        when 'array' then array(select jsonb_array_elements_text(value))
        when 'string' then array_remove(string_to_array(value #>> '{}', '||'), '')
    end
$$;

-- Which column of a wide view shows a custom field: given once to a field and type, and kept.
-- A field that is no longer listed has the last sync that listed it.
create table {schema}.ac_field_columns (
    data_type text not null check (data_type in ('contacts', 'deals')),
    field_id text not null,
    type text not null,
    key text not null,
    title text,
    options text[],
    column_name text,
    position integer generated always as identity,
    first_sync text not null,
    last_sync text,
    primary key (data_type, field_id, type),
    unique (data_type, column_name)
);

-- The catalogue that each wide view was made from.
create table {schema}.ac_wide_views (
    data_type text primary key,
    catalogue text not null
);

create view {schema}.ac_fields as
select data_type, field_id, key, title, type, options, column_name, first_sync,
    coalesce(last_sync, (
        select published.sync_id from {schema}.ac_published as published
        where published.data_type = fields.data_type order by sync_no desc limit 1
    )) as last_sync
from {schema}.ac_field_columns as fields;

-- Make a wide view anew where the catalogue has changed since; return whether it had. Only columns
-- are appended, so nothing that is built on the view is dropped. It waits a tenth of a second for
-- the view's lock, and then fails: while it waits, readers wait too. It runs as its owner, since
-- the role of the syncs may not change the schema.
create function {schema}.ac_update_wide_view(dataset text) returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    is_contacts constant boolean := dataset = 'contacts';
    base constant text := case when is_contacts
        then 'record_id as contact_id, email, first_name, last_name, phone, created_at, updated_at'
        else 'record_id as deal_id, title, value_minor, round(value_minor / 100.0, 2) as value, currency, '
            'status, pipeline_id, pipeline, stage_id, stage, owner_id, owner, contact_id, created_at, '
            'updated_at, is_masked' end;
    wanted text;
    made_from text;
    columns text;
    has_currency boolean;
    field record;
begin
    select md5(coalesce(string_agg(f::text, E'\n' order by position), '')) into wanted
    from {schema}.ac_field_columns as f where data_type = dataset;
    select catalogue into made_from from {schema}.ac_wide_views where data_type = dataset;
    if made_from = wanted then
        return false;
    end if;
    select string_agg(
            case
                when type = 'date' then format('{schema}.ac_date(f ->> %L)', shown_key)
                when type = 'datetime' then format('{schema}.ac_timestamptz(f ->> %L)', shown_key)
                when type = 'number' then format('{schema}.ac_numeric(f ->> %L)', shown_key)
                when type = 'currency' then format('{schema}.ac_numeric(f ->> %L) / 100', shown_key)
                when type in ('listbox', 'checkbox', 'multiselect')
                    then format('{schema}.ac_choices(f -> %L)', shown_key)
                else format('f ->> %L', shown_key)
            end || format(' as %I', column_name)
            || case when type = 'currency'
                then format(', e -> %L ->> %L as %I', shown_key, 'currency', column_name || '_currency')
                else '' end,
            E',\n' order by position),
        coalesce(bool_or(type = 'currency'), false)
    into columns, has_currency
    from (
        -- A field that is listed no more has no key, and its values stand under its id. One that
        -- has another type now has the same key as before.
        select fields.*, coalesce(
            (select key from {schema}.ac_field_columns as listed
             where listed.data_type = dataset and listed.field_id = fields.field_id
               and listed.last_sync is null),
            'field_' || field_id) as shown_key
        from {schema}.ac_field_columns as fields
        where data_type = dataset and column_name is not null
    ) as shown;
    execute format(
        'create or replace view {schema}.%I as select %s, '
        '(select synced_at from {schema}.ac_published where data_type = %L order by sync_no desc limit 1) as synced_at'
        '%s%s from {schema}.%I as version '
        -- Once a row, not once a column, which would take many times as long.
        'cross join lateral (select custom_fields || %L::jsonb as f offset 0) as fields %s '
        'where valid_to is null',
        case when is_contacts then 'ac_contacts_wide' else 'ac_deals_wide' end,
        base, dataset,
        case when is_contacts then ', tags, lists' else '' end,
        coalesce(E',\n' || columns, ''),
        case when is_contacts then 'ac_contact_versions' else 'ac_deal_versions' end,
        '{}',
        case when has_currency
            then 'cross join lateral (select record -> ''customFields'' as e offset 0) as entries'
            else '' end
    );
    for field in
        select * from {schema}.ac_field_columns where data_type = dataset and column_name is not null
    loop
        execute format(
            'comment on column {schema}.%I.%I is %L',
            case when is_contacts then 'ac_contacts_wide' else 'ac_deals_wide' end,
            field.column_name,
            format('%s (%s, field %s)%s', coalesce(field.title, field.key), field.type, field.field_id,
                coalesce(': ' || array_to_string(field.options, ', '), ''))
        );
    end loop;
    insert into {schema}.ac_wide_views (data_type, catalogue) values (dataset, wanted)
    on conflict (data_type) do update set catalogue = excluded.catalogue;
    return true;
end
$$;
revoke execute on function {schema}.ac_update_wide_view from public;

-- Tags and list memberships, which come along with each contact.
create function {schema}.ac_texts(value jsonb) returns text[]
language sql immutable parallel safe as $$
    select case jsonb_typeof(value) when 'array' then array(select jsonb_array_elements_text(value)) end
$$;

alter table {schema}.ac_contact_versions
    add column tags text[] generated always as ({schema}.ac_texts(record -> 'tags')) stored,
    add column lists jsonb generated always as (record -> 'lists') stored;

create or replace view {schema}.ac_contacts as
select record_id as contact_id, email, first_name, last_name, phone, created_at, updated_at,
    custom_fields, record,
    (select synced_at from {schema}.ac_published
     where data_type = 'contacts' order by sync_no desc limit 1) as synced_at,
    tags, lists
from {schema}.ac_contact_versions
where valid_to is null;

select {schema}.ac_update_wide_view('contacts');
select {schema}.ac_update_wide_view('deals');

-- A row a stay of a deal in a stage and status, as the syncs saw it; kept for ever.
create table {schema}.ac_deal_stages (
    deal_id bigint not null,
    pipeline_id bigint,
    pipeline text,
    stage_id bigint,
    stage text,
    status text,
    entered_at timestamptz not null,
    left_at timestamptz
);
create unique index ac_deal_stages_now on {schema}.ac_deal_stages (deal_id) where left_at is null;
create index ac_deal_stages_deal on {schema}.ac_deal_stages (deal_id, entered_at);

insert into {schema}.ac_deal_stages
    (deal_id, pipeline_id, pipeline, stage_id, stage, status, entered_at)
select record_id, pipeline_id, pipeline, stage_id, stage, status,
    (select synced_at from {schema}.ac_published
     where data_type = 'deals' order by sync_no desc limit 1)
from {schema}.ac_deal_versions where valid_to is null;

create view {schema}.ac_freshness as
select distinct on (data_type) data_type, record_count, synced_at,
    clock_timestamp() - synced_at as age,
    clock_timestamp() - synced_at < interval '45 minutes' as is_fresh,
    sync_id
from {schema}.ac_published
order by data_type, sync_no desc;

-- What people filter by.
create index ac_contact_versions_tags
    on {schema}.ac_contact_versions using gin (tags) where valid_to is null;
create index ac_contact_versions_custom_fields
    on {schema}.ac_contact_versions using gin (custom_fields jsonb_path_ops) where valid_to is null;
create index ac_deal_versions_custom_fields
    on {schema}.ac_deal_versions using gin (custom_fields jsonb_path_ops) where valid_to is null;
create index ac_deal_versions_owner
    on {schema}.ac_deal_versions (owner_id, status) where valid_to is null;
create index ac_deal_versions_created
    on {schema}.ac_deal_versions (created_at) where valid_to is null;

-- What tools show beside the names.
comment on view {schema}.ac_contacts is 'The published contacts, a row each.';
comment on view {schema}.ac_deals is 'The published deals, a row each.';
comment on view {schema}.ac_contacts_wide is 'The published contacts, with a typed column for each custom field.';
comment on view {schema}.ac_deals_wide is 'The published deals, with a typed column for each custom field.';
comment on view {schema}.ac_fields is 'The custom fields, and the column of the wide view that shows each.';
comment on table {schema}.ac_deal_stages is 'When deals entered and left each stage and status, as the syncs saw it; kept for ever.';
comment on view {schema}.ac_freshness is 'How old the published data is.';
comment on view {schema}.ac_changes is 'What each kept sync added, updated and deleted.';
comment on view {schema}.ac_sync_data is 'The published records as JSON arrays of up to 1,000, in id order.';
comment on view {schema}.ac_latest_sync is 'The last finished sync.';
comment on view {schema}.ac_sync_statistics is 'The syncs of the last seven days.';

do $comments$
declare
    one record;
begin
    for one in
        select class.relname, attribute.attname, words.comment
        from pg_class as class
        join pg_attribute as attribute on attrelid = class.oid and attnum > 0
        join (values
            ('contact_id', 'The contact''s id in ActiveCampaign'), ('deal_id', 'The deal''s id in ActiveCampaign'),
            ('email', 'As the contact has it; lower(email) has an index too'), ('first_name', null), ('last_name', null),
            ('phone', null), ('title', null), ('name', null),
            ('created_at', 'When it was made in ActiveCampaign'), ('updated_at', 'When it was last changed in ActiveCampaign'),
            ('custom_fields', 'Custom field values by key'), ('record', 'The record as received, with what was joined to it'),
            ('synced_at', 'When it was published'), ('tags', 'Names of the contact''s tags, sorted'),
            ('lists', 'The contact''s lists: id, name, status, subscribedAt, unsubscribedAt'),
            ('value_minor', 'The value in cents'), ('value', 'The value in whole units of the currency'),
            ('currency', 'Lower case, as usd'), ('status', 'open, won or lost'),
            ('pipeline_id', null), ('pipeline', 'Its title'), ('stage_id', null), ('stage', 'Its title'),
            ('owner_id', null), ('owner', 'First and last name, else user name or address'),
            ('is_masked', 'The key''s user may not see it: it keeps what was last known'),
            ('entered_at', 'The sync that first saw the deal there'), ('left_at', 'The sync that saw it elsewhere; null while it is there'),
            ('data_type', 'contacts or deals'), ('field_id', 'The field''s id in ActiveCampaign'),
            ('key', 'Its key in custom_fields'), ('type', 'As ActiveCampaign names it'),
            ('options', 'The choices it has'), ('column_name', 'Of the wide view; null where there are too many'),
            ('first_sync', 'The first sync that listed it'), ('last_sync', 'The last sync that listed it'),
            ('record_count', 'Records in it'), ('age', 'Since it was published'),
            ('is_fresh', 'Younger than three intervals of 15 minutes'), ('sync_id', 'The sync, as in ac_sync_logs'),
            ('change', 'added, updated or deleted'), ('changed_at', 'When it was published'), ('record_id', 'The record''s id in ActiveCampaign')
        ) as words (name, comment) on words.name = attribute.attname
        where class.relnamespace = '{schema}'::regnamespace and words.comment is not null
          and class.relname in ('ac_contacts', 'ac_deals', 'ac_contacts_wide', 'ac_deals_wide', 'ac_fields',
              'ac_deal_stages', 'ac_freshness', 'ac_changes', 'ac_sync_data')
    loop
        execute format('comment on column {schema}.%I.%I is %L', one.relname, one.attname, one.comment);
    end loop;
end
$comments$;
