-- Views and functions that survive a rename of a field or of the schema, and that work with any
-- search_path of the caller.

-- Conversions. A SQL body after RETURN is bound at creation and is fastest if Postgres can inline it. It
-- cannot inline a subquery or a cast to timestamptz. PL/pgSQL is faster there, even with its own
-- search_path, which keeps it from looking up names in the caller's.

alter function {schema}.ac_timestamptz set search_path = pg_catalog, pg_temp;
alter function {schema}.ac_field_values set search_path = pg_catalog, pg_temp;

create or replace function {schema}.ac_date(value text) returns date
language sql immutable parallel safe
return case
    when value ~* '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([t ].*)?$'
        and value not like '0000%'
        and substr(value, 9, 2)::integer <= extract(
            day from make_date(substr(value, 1, 4)::integer, substr(value, 6, 2)::integer, 1)
            + interval '1 month' - interval '1 day'
        )
    then make_date(
        substr(value, 1, 4)::integer, substr(value, 6, 2)::integer, substr(value, 9, 2)::integer
    )
end;

create or replace function {schema}.ac_bigint(value text) returns bigint
language sql immutable parallel safe
return case
    when value ~ '^-?[0-9]{1,18}$' then value::bigint
    when value ~ '^-?[0-9]{19}$'
        and value::numeric between -9223372036854775808 and 9223372036854775807
    then value::bigint
end;

create or replace function {schema}.ac_numeric(value text) returns numeric
language sql immutable parallel safe
return case
    when value ~ '^\s*[+-]?([0-9]{1,200}([.][0-9]{0,200})?|[.][0-9]{1,200})\s*$' then value::numeric
end;

create or replace function {schema}.ac_choices(value jsonb) returns text[]
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    case jsonb_typeof(value)
        when 'string' then return array_remove(string_to_array(value #>> '{}', '||'), '');
        when 'array' then return array(select jsonb_array_elements_text(value));
        else return null;
    end case;
end
$$;

-- An index row holds at most 2,700 bytes. 600 characters always fit; ActiveCampaign's tags have 255.
create or replace function {schema}.ac_texts(value jsonb) returns text[]
language sql immutable parallel safe
return case jsonb_typeof(value)
    when 'array' then array(select left(element, 600) from jsonb_array_elements_text(value) as element)
end;

-- Values by field id, {"12": value}, with {"12_currency": currency} for currency fields. If a field
-- has two values, the one with the shorter key wins, because it is aggregated last.
create function {schema}.ac_values_by_id(fields jsonb) returns jsonb
language plpgsql immutable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
    if jsonb_typeof(fields) is distinct from 'object' then
        return '{}'::jsonb;
    end if;
    return (
        select coalesce(jsonb_object_agg(id, value -> 'value'), '{}')
            || coalesce(
                jsonb_object_agg(id || '_currency', value -> 'currency')
                    filter (where value ? 'currency'),
                '{}'
            )
        from (
            select value ->> 'fieldId' as id, value from jsonb_each(fields) order by length(key) desc
        ) as entries
        where id is not null
    );
end
$$;

alter table {schema}.ac_staged_contacts add column field_values jsonb
    generated always as ({schema}.ac_values_by_id(record -> 'customFields')) stored;
alter table {schema}.ac_staged_deals add column field_values jsonb
    generated always as ({schema}.ac_values_by_id(record -> 'customFields')) stored;

-- A generated column is filled by one rewrite of the table, which leaves no dead rows. Storage main
-- keeps it in the row: reading it from TOAST would cost three more buffers per row of a wide view.
alter table {schema}.ac_contact_versions
    add column field_values jsonb
        generated always as ({schema}.ac_values_by_id(record -> 'customFields')) stored,
    alter column field_values set storage main;
alter table {schema}.ac_contact_versions alter column field_values drop expression;
alter table {schema}.ac_deal_versions
    add column field_values jsonb
        generated always as ({schema}.ac_values_by_id(record -> 'customFields')) stored,
    alter column field_values set storage main;
alter table {schema}.ac_deal_versions alter column field_values drop expression;

-- The wide views.

create function {schema}.ac_fail(message text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception using message = message;
end
$$;

-- Run the statements with the caller's rights; return whether there were any.
create function {schema}.ac_execute(statements text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if statements is null then
        return false;
    end if;
    execute statements;
    return true;
end
$$;
revoke execute on function {schema}.ac_execute from public;

-- The statement that creates a wide view. It refers to fields by id, so a rename does not change it.
create function {schema}.ac_wide_view_sql(dataset text) returns text
language sql stable
begin atomic
    with place as (
        select relnamespace::regnamespace::text as schema
        from pg_class where oid = '{schema}.ac_field_columns'::regclass
    ), columns as (
        select position, case
            when type = 'date' then format('%s.ac_date(f ->> %L) as %I', schema, field_id, column_name)
            when type = 'datetime'
                then format('%s.ac_timestamptz(f ->> %L) as %I', schema, field_id, column_name)
            when type = 'number' then format('%s.ac_numeric(f ->> %L) as %I', schema, field_id, column_name)
            when type = 'currency' then format(
                '%s.ac_numeric(f ->> %L) / 100 as %I, f ->> %L as %I',
                schema, field_id, column_name, field_id || '_currency', column_name || '_currency')
            when type in ('listbox', 'checkbox', 'multiselect')
                then format('%s.ac_choices(f -> %L) as %I', schema, field_id, column_name)
            else format('f ->> %L as %I', field_id, column_name)
        end as shown
        from place, {schema}.ac_field_columns
        where data_type = dataset and column_name is not null
    )
    select format(
        'create or replace view %1$s.%2$I as select %3$s, (select synced_at from %1$s.ac_published '
        'where data_type = %4$L order by sync_no desc limit 1) as synced_at%5$s '
        -- Once per row: one unpacking per column would take many times as long.
        'from %1$s.%6$I as version '
        'cross join lateral (select field_values || %7$L::jsonb as f offset 0) as fields '
        'where valid_to is null',
        schema,
        'ac_' || dataset || '_wide',
        case dataset
            when 'contacts' then 'record_id as contact_id, email, first_name, last_name, phone, '
                'created_at, updated_at'
            when 'deals' then 'record_id as deal_id, title, value_minor, '
                'round(value_minor / 100.0, 2) as value, currency, status, pipeline_id, pipeline, '
                'stage_id, stage, owner_id, owner, contact_id, created_at, updated_at, is_masked'
        end,
        dataset,
        concat(
            case dataset when 'contacts' then ', tags, lists' end,
            (select string_agg(E',\n' || shown, '' order by position) from columns)
        ),
        case dataset when 'contacts' then 'ac_contact_versions' when 'deals' then 'ac_deal_versions' end,
        '{}'
    )
    from place;
end;

-- The statements that bring a wide view up to date; null if there are none. Renaming a field changes
-- only a comment, which locks no reader out.
create function {schema}.ac_wide_view_changes(dataset text) returns text
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
        cross join lateral (
            select format('%s (%s, field %s)%s', coalesce(nullif(title, ''), key), type, field_id,
                coalesce(': ' || array_to_string(options, ', '), '')) as comment
        ) as described
        left join pg_attribute on attrelid = view_oid and attname = column_name
        where data_type = dataset and column_name is not null
    )
    select nullif(concat_ws(E';\n',
        case when bool_or(attnum is null) then {schema}.ac_wide_view_sql(dataset) end,
        string_agg(statement, E';\n' order by position) filter (where is_outdated)
    ), '')
    from columns;
end;

-- Bring a wide view up to date; return whether anything changed. Columns are only appended, so nothing
-- that is built on the view is dropped. The function waits 100 ms for the view's lock and then fails,
-- because new readers wait as long as it does. It runs as its owner, because the role of the syncs has
-- no right to change the schema.
create or replace function {schema}.ac_update_wide_view(dataset text) returns boolean
language sql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
return case
    when dataset in ('contacts', 'deals')
        then {schema}.ac_execute({schema}.ac_wide_view_changes(dataset))
    else {schema}.ac_fail(format('acsync: there is no wide view of %L. Use contacts or deals.', dataset))
end;

drop table {schema}.ac_wide_views;
select {schema}.ac_execute({schema}.ac_wide_view_sql(dataset))
from (values ('contacts'), ('deals')) as datasets (dataset);
select {schema}.ac_update_wide_view(dataset) from (values ('contacts'), ('deals')) as datasets (dataset);

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
                (select coalesce(string_agg(distinct published.sync_id, ', '), 'none')
                 from {schema}.ac_published as published)))
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

-- Stages of deals. If a table without a key is in a publication, Postgres refuses every update of it.
drop index {schema}.ac_deal_stages_deal;
alter table {schema}.ac_deal_stages add primary key (deal_id, entered_at);
