-- Tables with the typed columns of the current records, which the wide views show, and changes that need
-- no comparison of versions.

-- Digits after the point by currency. ActiveCampaign documents all amounts as cents.
create table {schema}.ac_currencies (
    code text primary key check (code = lower(code)),
    digits integer not null default 2 check (digits between 0 and 6)
);
-- The currencies to which ISO 4217 gives another number of digits, so that people see which to check.
insert into {schema}.ac_currencies (code)
select unnest(string_to_array(
    'bhd,bif,clf,clp,djf,gnf,iqd,isk,jod,jpy,kmf,krw,kwd,lyd,omr,pyg,rwf,tnd,ugx,uyi,uyw,vnd,vuv,xaf,xof,xpf',
    ','
));

-- Conversions. Bounds within the regular expression would make it ten times as slow.

create or replace function {schema}.ac_numeric(value text) returns numeric
language sql immutable parallel safe
return case
    when length(value) <= 400 and value ~ '^\s*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)\s*$' then value::numeric
end;

create function {schema}.ac_major_units(minor numeric, digits integer) returns numeric
language sql immutable parallel safe
return round(minor / 10::numeric ^ coalesce(digits, 2), coalesce(digits, 2));

create function {schema}.ac_local_timestamp(value text) returns timestamp
language sql immutable parallel safe
return case
    when value ~ '^.{10}[Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?$'
    then {schema}.ac_date(substr(value, 1, 10)) + make_time(
        substr(value, 12, 2)::integer, substr(value, 15, 2)::integer,
        coalesce(nullif(substr(value, 18), ''), '0')::double precision
    )
end;

-- Versions know whether they added their record and whether they ended with its deletion.
-- Only those of kept syncs are marked, because no view shows the others, and not those of the very first sync,
-- before which nothing was there.
do $versions$
declare
    versions text;
begin
    foreach versions in array array['contact', 'deal'] loop
        execute format(
            'alter table {schema}.ac_%1$s_versions '
            'add column is_added boolean not null default false, '
            'add column is_deleted boolean not null default false;'
            'with kept as (select sync_no from {schema}.ac_published where data_type = %2$L), '
            'ordered as ('
            '    select record_id, valid_from, valid_to, '
            '        lag(valid_to) over versions is distinct from valid_from as is_added, '
            '        valid_to is not null and lead(valid_from) over versions is distinct from valid_to as is_deleted '
            '    from {schema}.ac_%1$s_versions window versions as (partition by record_id order by valid_from)'
            ') '
            'update {schema}.ac_%1$s_versions as version '
            'set is_added = ordered.is_added, is_deleted = ordered.is_deleted '
            'from ordered where ordered.record_id = version.record_id and ordered.valid_from = version.valid_from '
            'and (ordered.is_added and ordered.valid_from in (select sync_no from kept) '
            'and ordered.valid_from > (select min(valid_from) from {schema}.ac_%1$s_versions) '
            'or ordered.is_deleted and ordered.valid_to in (select sync_no from kept));'
            'drop index {schema}.ac_%1$s_versions_valid_from;'
            'create index ac_%1$s_versions_valid_from on {schema}.ac_%1$s_versions (valid_from) '
            'include (record_id, is_added);'
            'create index ac_%1$s_versions_deleted on {schema}.ac_%1$s_versions (valid_to) '
            'include (record_id) where is_deleted',
            versions, versions || 's');
    end loop;
end
$versions$;

create or replace view {schema}.ac_changes as
select published.sync_id, published.synced_at as changed_at, published.data_type, version.record_id,
    case when version.is_added or version.valid_from = (select min(valid_from) from {schema}.ac_contact_versions)
        then 'added' else 'updated' end as change, version.record
from {schema}.ac_published as published
join {schema}.ac_contact_versions as version on version.valid_from = published.sync_no
where published.data_type = 'contacts'
union all
select published.sync_id, published.synced_at, published.data_type, version.record_id, 'deleted', version.record
from {schema}.ac_published as published
join {schema}.ac_contact_versions as version on version.valid_to = published.sync_no and version.is_deleted
where published.data_type = 'contacts'
union all
select published.sync_id, published.synced_at, published.data_type, version.record_id,
    case when version.is_added or version.valid_from = (select min(valid_from) from {schema}.ac_deal_versions)
        then 'added' else 'updated' end, version.record
from {schema}.ac_published as published
join {schema}.ac_deal_versions as version on version.valid_from = published.sync_no
where published.data_type = 'deals'
union all
select published.sync_id, published.synced_at, published.data_type, version.record_id, 'deleted', version.record
from {schema}.ac_published as published
join {schema}.ac_deal_versions as version on version.valid_to = published.sync_no and version.is_deleted
where published.data_type = 'deals';

-- Values of deals by the digits of their currency. Postgres leaves the join out of queries without `value`.

create or replace view {schema}.ac_deals as
select record_id as deal_id, title, value_minor, {schema}.ac_major_units(value_minor, money.digits) as value,
    currency, status, pipeline_id, pipeline, stage_id, stage, owner_id, owner, contact_id, created_at, updated_at,
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
left join {schema}.ac_currencies as money on money.code = lower(version.currency)
where valid_to is null;

create or replace view {schema}.ac_deal_history as
select record_id as deal_id, title, value_minor, {schema}.ac_major_units(value_minor, money.digits) as value,
    currency, status, pipeline_id, pipeline, stage_id, stage, owner_id, owner, contact_id, created_at, updated_at,
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
    on closing.data_type = 'deals' and closing.sync_no = version.valid_to
left join {schema}.ac_currencies as money on money.code = lower(version.currency);

-- The values of both versions are unpacked once. Asking for each field would unpack them for each field.
create or replace view {schema}.ac_field_changes as
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
join {schema}.ac_contact_versions as version on version.valid_from = published.sync_no and not version.is_added
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
    select field, was, became
    from (
        select key as id, was.value as was, became.value as became
        from jsonb_each_text(before.field_values) as was
        full join jsonb_each_text(version.field_values) as became using (key)
        where was.value is distinct from became.value
    ) as compared join named_values using (id)
    where data_type = 'contacts' and before.field_values <> version.field_values
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
join {schema}.ac_deal_versions as version on version.valid_from = published.sync_no and not version.is_added
join {schema}.ac_deal_versions as before
    on before.record_id = version.record_id and before.valid_to = version.valid_from
left join {schema}.ac_currencies as money on money.code = lower(version.currency)
left join {schema}.ac_currencies as old_money on old_money.code = lower(before.currency)
cross join lateral (
    select field, was, became
    from (values
        ('title', before.title, version.title),
        ('value', {schema}.ac_major_units(before.value_minor, old_money.digits)::text,
            {schema}.ac_major_units(version.value_minor, money.digits)::text),
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
    select field, was, became
    from (
        select key as id, was.value as was, became.value as became
        from jsonb_each_text(before.field_values) as was
        full join jsonb_each_text(version.field_values) as became using (key)
        where was.value is distinct from became.value
    ) as compared join named_values using (id)
    where data_type = 'deals' and before.field_values <> version.field_values
) as change
where published.data_type = 'deals';

-- The rows of the wide views: one per current record, written when it is published. `more` has the
-- values by field id that have no column here, because a row of hundreds of long texts would not fit.

create table {schema}.ac_contact_columns (
    contact_id bigint primary key,
    email text,
    first_name text,
    last_name text,
    phone text,
    created_at timestamptz,
    updated_at timestamptz,
    tags text[],
    lists jsonb,
    changed_at timestamptz,
    more jsonb
);
create index ac_contact_columns_email on {schema}.ac_contact_columns using hash (email);
create index ac_contact_columns_lower_email on {schema}.ac_contact_columns using hash (lower(email));

create table {schema}.ac_deal_columns (
    deal_id bigint primary key,
    title text,
    value_minor bigint,
    value numeric,
    currency text,
    status text,
    pipeline_id bigint,
    pipeline text,
    stage_id bigint,
    stage text,
    owner_id bigint,
    owner text,
    contact_id bigint,
    created_at timestamptz,
    updated_at timestamptz,
    is_masked boolean,
    changed_at timestamptz,
    more jsonb
);
create index ac_deal_columns_contact on {schema}.ac_deal_columns (contact_id);

-- The digits with which the stored amounts were computed.
create table {schema}.ac_stored_digits (
    data_type text primary key check (data_type in ('contacts', 'deals')),
    digits jsonb not null
);

-- `place` is null until the table has the column, and `is_filled` is false until all rows have the values.
alter table {schema}.ac_field_columns
    add column place text check (place in ('column', 'more')),
    add column is_filled boolean not null default false;

-- The columns of a wide view. `stored` computes the value from a version, whose values by field id are `fields.f`;
-- `shown` is the expression in the view, where `fields.f` is `more`.
create function {schema}.ac_wide_columns(dataset text)
returns table (
    ordinal integer, name text, stored text, shown text, is_filled boolean, is_money boolean, comment text
)
language sql stable
begin atomic
    with own as (
        select relnamespace::regnamespace::text as schema
        from pg_class where oid = '{schema}.ac_field_columns'::regclass
    ), fields as (
        select * from {schema}.ac_field_columns
        where data_type = dataset and column_name is not null and place is not null
    ), of_fields as (
        select fields.position, part.name, part.value, place, is_filled,
            part.name = column_name and type = 'currency' as is_money,
            case when part.name = column_name
                then {schema}.ac_field_comment(title, key, type, field_id, options, labels)
            else format('Currency of %s (field %s)', coalesce(nullif(title, ''), key), field_id) end as comment
        from own cross join fields cross join lateral (
            select column_name as name, case
                when converted is null then format('nullif(fields.f ->> %L, %L)', field_id, '')
                -- Most fields of a record have no value, and the test is cheaper than the conversion.
                else format('case when fields.f ? %L then %s end', field_id, converted)
            end as value
            from (select case
                when type = 'date' then format('%s.ac_date(fields.f ->> %L)', schema, field_id)
                when type = 'datetime' then format('%s.ac_timestamptz(fields.f ->> %L)', schema, field_id)
                when type = 'local datetime' then format('%s.ac_local_timestamp(fields.f ->> %L)', schema, field_id)
                when type = 'number' then format('%s.ac_numeric(fields.f ->> %L)', schema, field_id)
                when type = 'currency' then format(
                    '%1$s.ac_major_units(%1$s.ac_numeric(fields.f ->> %2$L), '
                    '(money.digits ->> lower(fields.f ->> %3$L))::integer)',
                    schema, field_id, field_id || '_currency')
                when type in ('listbox', 'checkbox', 'multiselect')
                    then format('nullif(%s.ac_choices(fields.f -> %L), %L)', schema, field_id, '{}')
            end as converted) as conversion
            union all
            select column_name || '_currency', format('nullif(fields.f ->> %L, %L)', field_id || '_currency', '')
            where type = 'currency'
        ) as part
    )
    select base.ordinal, base.name, base.stored, coalesce(base.shown, 'stored.' || base.name), true, base.name = 'value', null
    from own cross join lateral (values
        ('contacts', -20, 'contact_id', 'record_id', null),
        ('contacts', -19, 'email', 'nullif(email, '''')', null),
        ('contacts', -18, 'first_name', 'nullif(first_name, '''')', null),
        ('contacts', -17, 'last_name', 'nullif(last_name, '''')', null),
        ('contacts', -16, 'phone', 'nullif(phone, '''')', null),
        ('contacts', -15, 'created_at', 'created_at', null),
        ('contacts', -14, 'updated_at', 'updated_at', null),
        ('contacts', -12, 'tags', 'tags', null),
        ('contacts', -11, 'lists', 'lists', null),
        ('deals', -30, 'deal_id', 'record_id', null),
        ('deals', -29, 'title', 'nullif(title, '''')', null),
        ('deals', -28, 'value_minor', 'value_minor', null),
        ('deals', -27, 'value', format(
            '%s.ac_major_units(value_minor, (money.digits ->> lower(currency))::integer)', schema), null),
        ('deals', -26, 'currency', 'nullif(currency, '''')', null),
        ('deals', -25, 'status', 'status', null),
        ('deals', -24, 'pipeline_id', 'pipeline_id', null),
        ('deals', -23, 'pipeline', 'nullif(pipeline, '''')', null),
        ('deals', -22, 'stage_id', 'stage_id', null),
        ('deals', -21, 'stage', 'nullif(stage, '''')', null),
        ('deals', -20, 'owner_id', 'owner_id', null),
        ('deals', -19, 'owner', 'nullif(owner, '''')', null),
        ('deals', -18, 'contact_id', 'contact_id', null),
        ('deals', -17, 'created_at', 'created_at', null),
        ('deals', -16, 'updated_at', 'updated_at', null),
        ('deals', -15, 'is_masked', 'is_masked', null),
        (dataset, -13, 'synced_at', null, format(
            '(select synced_at from %s.ac_published where data_type = %L order by sync_no desc limit 1)',
            schema, dataset)),
        (dataset, -10, 'changed_at', 'changed_at', null),
        ('deals', -9, 'closed_at', null, format(
            'case when stored.status in (''won'', ''lost'') then '
            '(select closed_at from %s.ac_deals as deal where deal.deal_id = stored.deal_id) end', schema))
    ) as base (dataset, ordinal, name, stored, shown)
    where base.dataset = ac_wide_columns.dataset
      -- A field that had the name before keeps it.
      and not exists (select from of_fields where of_fields.name = base.name)
    union all
    select position, name, case place when 'column' then value end,
        case place when 'column' then 'stored.' || quote_ident(name) else value end, is_filled, is_money, comment
    from of_fields
    union all
    select 0, 'more', format(
        '(select jsonb_object_agg(key, value) from jsonb_each(fields.f) where key = any (%L))',
        array_agg(field_id) || array_agg(field_id || '_currency')
    ), null, bool_and(is_filled), false, null
    from fields where place = 'more'
    having count(*) > 0;
end;

-- The query that computes some of these columns for all current records.
create function {schema}.ac_wide_query(dataset text, names text[]) returns text
language sql stable
begin atomic
    select format(
        'select %1$s from %2$s.%3$I as version '
        -- Once per row: one unpacking per column would take many times as long.
        'cross join lateral (select field_values || %4$L::jsonb as f offset 0) as fields '
        'cross join (select jsonb_object_agg(code, digits) as digits from %2$s.ac_currencies) as money '
        'where valid_to is null',
        string_agg(format('%s as %I', stored, name), ', ' order by ordinal, name),
        own.relnamespace::regnamespace, 'ac_' || rtrim(dataset, 's') || '_versions', '{}')
    from {schema}.ac_wide_columns(dataset) cross join pg_class as own
    where own.oid = '{schema}.ac_field_columns'::regclass and stored is not null and name = any (names)
    group by own.relnamespace;
end;

-- The statement that adds all current records; conditions on `record_id` can be appended.
create function {schema}.ac_wide_insert(dataset text) returns text
language sql stable
begin atomic
    select format('insert into %s.%I (%s) %s',
        own.relnamespace::regnamespace, 'ac_' || rtrim(dataset, 's') || '_columns',
        string_agg(quote_ident(name), ', ' order by ordinal, name),
        {schema}.ac_wide_query(dataset, array_agg(name)))
    from {schema}.ac_wide_columns(dataset) cross join pg_class as own
    where own.oid = '{schema}.ac_field_columns'::regclass and stored is not null
    group by own.relnamespace;
end;

-- The statement that creates a wide view. Columns that it has stay where they are, and new ones follow.
create or replace function {schema}.ac_wide_view_sql(dataset text) returns text
language sql stable
begin atomic
    with own as (
        select relnamespace as id, relnamespace::regnamespace::text as schema, 'ac_' || dataset || '_wide' as view,
            'ac_' || rtrim(dataset, 's') || '_columns' as stored
        from pg_class where oid = '{schema}.ac_field_columns'::regclass
    )
    select format('create or replace view %1$s.%2$I as select %3$s from %1$s.%4$I as stored%5$s',
        own.schema, own.view,
        string_agg(format('%s as %I', shown, name), ', ' order by attnum nulls last, ordinal, name),
        own.stored,
        case when exists (
            select from {schema}.ac_field_columns where data_type = dataset and place = 'more'
        ) then format(
            ' cross join lateral (select more as f) as fields '
            'cross join (select jsonb_object_agg(code, digits) as digits from %s.ac_currencies) as money', own.schema
        ) end)
    from own cross join {schema}.ac_wide_columns(dataset) as columns
    left join pg_class as wide on wide.relnamespace = own.id and wide.relname = own.view
    left join pg_attribute on attrelid = wide.oid and attname = columns.name and attnum > 0
    where shown is not null and (is_filled or attnum is not null)
    group by own.schema, own.view, own.stored;
end;

-- The names behind a wide view, as they are now: a schema can be renamed.
create function {schema}.ac_wide_names(
    dataset text, out schema text, out table_name text, out view_name text, out table_id oid, out view_id oid
) language sql stable
begin atomic
    select own.relnamespace::regnamespace::text,
        format('%s.%I', own.relnamespace::regnamespace, columns.relname),
        format('%s.%I', own.relnamespace::regnamespace, wide.relname), columns.oid, wide.oid
    from pg_class as own
    join pg_class as columns
        on columns.relnamespace = own.relnamespace and columns.relname = 'ac_' || rtrim(dataset, 's') || '_columns'
    join pg_class as wide on wide.relnamespace = own.relnamespace and wide.relname = 'ac_' || dataset || '_wide'
    where own.oid = '{schema}.ac_field_columns'::regclass;
end;

-- The statements that add the columns of new fields to the table, or null. 300 columns always fit into a row,
-- even if each holds a long text.
create function {schema}.ac_wide_additions(dataset text) returns text
language sql stable
begin atomic
    with placed as (
        select position, column_name, type, place is null as is_new,
            sum(case type when 'currency' then 2 else 1 end) over (order by position) <= 300
            and not exists (
                select from pg_attribute where attrelid = table_id
                and attname in (column_name, case type when 'currency' then column_name || '_currency' end)
            ) as fits
        from {schema}.ac_wide_names(dataset) cross join {schema}.ac_field_columns
        where data_type = dataset and column_name is not null
    ), parts as (
        select string_agg(format('add column %I %s', column_name, case
                when type = 'date' then 'date'
                when type = 'datetime' then 'timestamptz'
                when type = 'local datetime' then 'timestamp'
                when type in ('number', 'currency') then 'numeric'
                when type in ('listbox', 'checkbox', 'multiselect') then 'text[]'
                else 'text'
            end) || case type when 'currency' then format(', add column %I text', column_name || '_currency')
                else '' end, ', ' order by position) filter (where fits) as columns,
            array_agg(position) filter (where fits) as positions,
            array_agg(position) as all_positions
        from placed where is_new
    )
    select concat_ws(E';\n', format('alter table %s ', table_name) || columns, format(
        'update %s.ac_field_columns set place = case when position = any (%L) then %L else %L end '
        'where position = any (%L)', schema, coalesce(positions, '{}'), 'column', 'more', all_positions))
    from {schema}.ac_wide_names(dataset) cross join parts
    where all_positions is not null;
end;

-- The statements that fill new columns, and amounts whose currency has other digits now, or null.
create function {schema}.ac_wide_backfill(dataset text) returns text
language sql stable
begin atomic
    with digits as (
        select coalesce(jsonb_object_agg(code, digits), '{}') as now from {schema}.ac_currencies
    ), parts as (
        select array_agg(name) as names,
            string_agg(format('%1$I = computed.%1$I', name), ', ' order by ordinal) as assignments,
            string_agg(format('stored.%I', name), ', ' order by ordinal) as old,
            string_agg(format('computed.%I', name), ', ' order by ordinal) as new
        from digits cross join {schema}.ac_wide_columns(dataset)
        where stored is not null and (not is_filled or is_money and now is distinct from (
            select digits from {schema}.ac_stored_digits where data_type = dataset
        ))
    )
    select format(
        'update %1$s as stored set %3$s from (%4$s) as computed where computed.%5$I = stored.%5$I '
        'and row(%6$s) is distinct from row(%7$s);'
        'update %2$s.ac_field_columns set is_filled = true where data_type = %8$L and place is not null;'
        'insert into %2$s.ac_stored_digits values (%8$L, %9$L) '
        'on conflict (data_type) do update set digits = excluded.digits',
        table_name, schema, assignments, {schema}.ac_wide_query(dataset, names || id), id, old, new, dataset, now)
    from {schema}.ac_wide_names(dataset) cross join parts cross join digits
    cross join lateral (select rtrim(dataset, 's') || '_id' as id) as key
    where names is not null;
end;

-- The statements that show new columns and describe them, or null. Renaming a field changes only a comment,
-- which locks no reader out.
create function {schema}.ac_wide_views_additions(dataset text) returns text
language sql stable
begin atomic
    select nullif(concat_ws(E';\n',
        case when bool_or(attnum is null) then {schema}.ac_wide_view_sql(dataset) end,
        string_agg(format('comment on column %s.%I is %L', view_name, name, comment), E';\n' order by ordinal)
            filter (where comment is distinct from col_description(view_id, attnum) and comment is not null)
    ), '')
    from {schema}.ac_wide_names(dataset) cross join {schema}.ac_wide_columns(dataset) as columns
    left join pg_attribute on attrelid = view_id and attname = columns.name and attnum > 0
    where shown is not null and is_filled;
end;

-- The next step that brings a wide view up to date, or null if it is. Each step is a transaction. The first
-- adds columns to the table; every later publication fills them. The second fills them in older rows, which
-- locks no reader out. The third shows them.
create or replace function {schema}.ac_wide_view_changes(dataset text) returns text
language sql stable
begin atomic
    select coalesce(
        {schema}.ac_wide_additions(dataset),
        {schema}.ac_wide_backfill(dataset),
        {schema}.ac_wide_views_additions(dataset)
    );
end;

-- A datetime field of which no value has an offset gets a second column, as a field with a new type does.
with current_values as (
    select 'contacts' as data_type, field_values from {schema}.ac_contact_versions where valid_to is null
    union all
    select 'deals', field_values from {schema}.ac_deal_versions where valid_to is null
)
insert into {schema}.ac_field_columns
    (data_type, field_id, type, key, title, options, labels, column_name, first_sync)
select data_type, field_id, 'local datetime', key, title, options, labels, local_name, first_sync
from {schema}.ac_field_columns as field
cross join lateral (
    select '_' || field_id || '_local_datetime' as suffix
) as named
cross join lateral (
    select left(column_name, 63 - length(suffix)) || suffix as local_name
) as second
where type = 'datetime' and last_sync is null
  and exists (
      select from current_values where current_values.data_type = field.data_type
      and {schema}.ac_local_timestamp(field_values ->> field_id) is not null
  )
  and not exists (
      select from current_values where current_values.data_type = field.data_type
      and {schema}.ac_timestamptz(field_values ->> field_id) is not null
  )
  and not exists (
      select from {schema}.ac_field_columns as other
      where other.data_type = field.data_type and other.column_name = local_name
  );

-- Here all steps are one transaction.
select {schema}.ac_execute({schema}.ac_wide_additions(dataset))
from (values ('contacts'), ('deals')) as datasets (dataset);
update {schema}.ac_field_columns set is_filled = true where place is not null;
insert into {schema}.ac_stored_digits
select dataset, (select jsonb_object_agg(code, digits) from {schema}.ac_currencies)
from (values ('contacts'), ('deals')) as datasets (dataset);
select {schema}.ac_execute({schema}.ac_wide_insert(dataset))
from (values ('contacts'), ('deals')) as datasets (dataset);
select {schema}.ac_execute({schema}.ac_wide_view_sql(dataset))
from (values ('contacts'), ('deals')) as datasets (dataset);
select {schema}.ac_execute({schema}.ac_wide_views_additions(dataset))
from (values ('contacts'), ('deals')) as datasets (dataset);
create index ac_contact_columns_lists on {schema}.ac_contact_columns using gin (lists jsonb_path_ops);
analyze {schema}.ac_contact_columns, {schema}.ac_deal_columns;

comment on table {schema}.ac_currencies is
    'Digits after the point by currency. After a correction, the stored amounts follow with the next sync.';
comment on column {schema}.ac_currencies.code is
    'Currency code in lower case, such as jpy. A currency that is missing here has two digits.';
comment on column {schema}.ac_currencies.digits is
    'Amounts of the API are divided by 10 to the power of this. ActiveCampaign documents cents for all currencies; what it sends for those listed here is unknown. To correct one: update ac_currencies set digits = 0 where code = ''jpy''';
comment on table {schema}.ac_contact_columns is
    'One row per published contact: the rows of ac_contacts_wide. An index on a column serves the view.';
comment on table {schema}.ac_deal_columns is
    'One row per published deal: the rows of ac_deals_wide. An index on a column serves the view.';

do $comments$
declare
    described record;
begin
    for described in
        select relname, attname, comment
        from (values
            ('ac_contacts_wide ac_deals_wide', 'changed_at', 'Time of publishing of the last change. New names and counters are no change.'),
            ('ac_deals_wide', 'closed_at', 'Time of the sync that saw the deal become won or lost, or null if no sync saw it'),
            ('ac_deals ac_deals_wide ac_deal_history', 'value', 'Value in whole units of the currency, with its digits as in ac_currencies')
        ) as comments (relations, name, comment)
        join pg_class on relname = any (string_to_array(relations, ' ')) and relnamespace = '{schema}'::regnamespace
        join pg_attribute on attrelid = pg_class.oid and attname = name
        where not exists (
            select from {schema}.ac_field_columns
            where relname = 'ac_' || data_type || '_wide' and name = column_name
        )
    loop
        execute format(
            'comment on column {schema}.%I.%I is %L', described.relname, described.attname, described.comment);
    end loop;
end
$comments$;
