-- Tables with the rows of ac_contact_tags, ac_contact_lists and ac_field_changes, which the views computed
-- from the versions before. Each publication writes the rows of the records that it changed.

create table {schema}.ac_stored_tags (
    contact_id bigint not null,
    tag_id bigint not null,
    added_at timestamptz,
    tag text,
    primary key (contact_id, tag_id)
);

create table {schema}.ac_stored_lists (
    contact_id bigint not null,
    list_id bigint not null,
    subscribed_at timestamptz,
    unsubscribed_at timestamptz,
    list text,
    status text,
    reason text,
    primary key (contact_id, list_id)
);

-- A custom field has a `field_id` and no `field`, because its key can be renamed. A list has a `list_id`, and
-- no `field` if its contact was added or deleted. A value of a deal is in minor units of the two currencies.
create table {schema}.ac_stored_changes (
    record_id bigint not null,
    sync_no bigint not null,
    changed_at timestamptz not null,
    list_id bigint,
    place integer not null,
    data_type text not null check (data_type in ('contacts', 'deals')),
    field text,
    field_id text,
    was text,
    became text,
    was_currency text,
    became_currency text,
    primary key (data_type, record_id, sync_no, place)
);

-- The rows of these tables as the versions have them.
create function {schema}.ac_computed_tags() returns setof {schema}.ac_stored_tags
language sql stable
begin atomic
    select contact_id, (entry).key::bigint as tag_id, to_timestamp(((entry).value ->> 1)::bigint) as added_at,
        (entry).value ->> 0 as tag
    from (
        select record_id as contact_id, jsonb_each(relations -> 'tags') as entry
        from {schema}.ac_contact_versions where valid_to is null
    ) as unpacked;
end;

create function {schema}.ac_computed_lists() returns setof {schema}.ac_stored_lists
language sql stable
begin atomic
    select contact_id, (entry).key::bigint as list_id,
        to_timestamp(((entry).value ->> 2)::bigint) as subscribed_at,
        to_timestamp(((entry).value ->> 3)::bigint) as unsubscribed_at,
        (entry).value ->> 0 as list, (entry).value ->> 1 as status, (entry).value ->> 4 as reason
    from (
        select record_id as contact_id, jsonb_each(relations -> 'lists') as entry
        from {schema}.ac_contact_versions where valid_to is null
    ) as unpacked;
end;

-- The status of a contact on each list, by the list's id; of two memberships of one list, the last.
create function {schema}.ac_statuses(lists jsonb) returns jsonb
language sql immutable parallel safe
begin atomic
    select jsonb_object_agg(list_id, list ->> 'status')
    from jsonb_array_elements(case jsonb_typeof(lists) when 'array' then lists end) as list
    cross join lateral {schema}.ac_bigint(list ->> 'id') as list_id
    where list_id is not null;
end;

create function {schema}.ac_computed_changes() returns setof {schema}.ac_stored_changes
language sql stable
begin atomic
    with compared as (
        select 'contacts' as data_type, version.record_id, version.valid_from as sync_no, version.changed_at, change.*
        from {schema}.ac_contact_versions as version
        join {schema}.ac_contact_versions as before
            on before.record_id = version.record_id and before.valid_to = version.valid_from
        cross join lateral (
            select null::bigint as list_id, field, null as field_id, was, became,
                null as was_currency, null as became_currency
            from (values
                ('email', before.email, version.email),
                ('first_name', before.first_name, version.first_name),
                ('last_name', before.last_name, version.last_name),
                ('phone', before.phone, version.phone)
            ) as columns (field, was, became)
            where was is distinct from became
            union all
            select null, null, key, was.value, became.value, null, null
            from jsonb_each_text(before.field_values) as was
            full join jsonb_each_text(version.field_values) as became using (key)
            where was.value is distinct from became.value and before.field_values <> version.field_values
            union all
            -- A renamed tag has the same id. A relation that was not read is null and lost nothing.
            select null, 'tags', null, old.tag, new.tag, null, null
            from unnest(before.tags) as old (tag) full join unnest(version.tags) as new (tag) on new.tag = old.tag
            where (old.tag is null or new.tag is null) and before.tags <> version.tags
              and (before.record -> 'contactTags' = version.record -> 'contactTags') is not true
            union all
            select key::bigint, 'lists.' || key, null, was.value, became.value, null, null
            from jsonb_each_text({schema}.ac_statuses(before.lists)) as was
            full join jsonb_each_text({schema}.ac_statuses(version.lists)) as became using (key)
            where was.value is distinct from became.value and before.lists <> version.lists
        ) as change
        where not version.is_added
        union all
        select 'contacts', record_id, valid_from, changed_at, (entry).key::bigint, null, null, null, (entry).value, null, null
        from (
            select record_id, valid_from, changed_at, jsonb_each_text({schema}.ac_statuses(lists)) as entry
            from {schema}.ac_contact_versions
            where is_added and valid_from > (select min(valid_from) from {schema}.ac_contact_versions)
        ) as added
        union all
        select 'contacts', record_id, valid_to, coalesce(synced_at, now()), (entry).key::bigint,
            null, null, (entry).value, null, null, null
        from (
            select record_id, valid_to, synced_at, jsonb_each_text({schema}.ac_statuses(lists)) as entry
            from {schema}.ac_contact_versions left join {schema}.ac_published as published
                on published.data_type = 'contacts' and published.sync_no = valid_to
            where is_deleted
        ) as deleted
        union all
        select 'deals', version.record_id, version.valid_from, version.changed_at, change.*
        from {schema}.ac_deal_versions as version
        join {schema}.ac_deal_versions as before
            on before.record_id = version.record_id and before.valid_to = version.valid_from
        cross join lateral (
            select null::bigint, field, null, was, became, was_currency, became_currency
            from (values
                ('title', before.title, version.title, null, null),
                ('value', before.value_minor::text, version.value_minor::text, before.currency, version.currency),
                ('currency', before.currency, version.currency, null, null),
                ('status', before.status, version.status, null, null),
                ('pipeline_id', before.pipeline_id::text, version.pipeline_id::text, null, null),
                ('stage_id', before.stage_id::text, version.stage_id::text, null, null),
                ('owner_id', before.owner_id::text, version.owner_id::text, null, null),
                ('contact_id', before.contact_id::text, version.contact_id::text, null, null),
                ('is_masked', before.is_masked::text, version.is_masked::text, null, null)
            ) as columns (field, was, became, was_currency, became_currency)
            where was is distinct from became
            union all
            select null, null, key, was.value, became.value, null, null
            from jsonb_each_text(before.field_values) as was
            full join jsonb_each_text(version.field_values) as became using (key)
            where was.value is distinct from became.value and before.field_values <> version.field_values
        ) as change
        where not version.is_added
    )
    select record_id, sync_no, changed_at, list_id,
        row_number() over (partition by data_type, record_id, sync_no)::integer as place,
        data_type, field, field_id, was, became, was_currency, became_currency
    from compared;
end;

insert into {schema}.ac_stored_tags select * from {schema}.ac_computed_tags();
insert into {schema}.ac_stored_lists select * from {schema}.ac_computed_lists();
insert into {schema}.ac_stored_changes select * from {schema}.ac_computed_changes();
create index ac_stored_changes_sync_no on {schema}.ac_stored_changes (sync_no, data_type);
create index ac_stored_changes_changed_at on {schema}.ac_stored_changes (changed_at);
create index ac_stored_changes_lists on {schema}.ac_stored_changes (changed_at) where list_id is not null;
analyze {schema}.ac_stored_tags, {schema}.ac_stored_lists, {schema}.ac_stored_changes;

-- Questions about lists read ac_stored_lists now.
drop index {schema}.ac_contact_columns_lists;

create or replace view {schema}.ac_contact_tags as
select contact_id, tag_id, tag, added_at from {schema}.ac_stored_tags;

create or replace view {schema}.ac_contact_lists as
select contact_id, list_id, list, status, subscribed_at, unsubscribed_at, reason from {schema}.ac_stored_lists;

-- The newest key of a custom field, and the digits that its currency has now.
create or replace view {schema}.ac_field_changes as
with fields as (
    select distinct on (data_type, field_id) data_type, field_id, 'custom_fields.' || key as field, type
    from {schema}.ac_field_columns
    order by data_type, field_id, last_sync is null desc, position desc
), named_values as (
    select data_type, field_id, field from fields
    union all
    select data_type, field_id || '_currency', field || '_currency' from fields where type = 'currency'
)
select change.changed_at, published.sync_id, change.data_type, change.record_id,
    coalesce(change.field, named_values.field) as field,
    case when change.field = 'value' then {schema}.ac_major_units(change.was::numeric, (
        select digits from {schema}.ac_currencies where code = lower(change.was_currency)
    ))::text else change.was end as was,
    case when change.field = 'value' then {schema}.ac_major_units(change.became::numeric, (
        select digits from {schema}.ac_currencies where code = lower(change.became_currency)
    ))::text else change.became end as became
from {schema}.ac_stored_changes as change
-- Postgres leaves this join out of queries without sync_id.
left join {schema}.ac_published as published
    on published.data_type = change.data_type and published.sync_no = change.sync_no
left join named_values
    on named_values.data_type = change.data_type and named_values.field_id = change.field_id
where coalesce(change.field, named_values.field) is not null;

create view {schema}.ac_list_changes as
select change.changed_at, published.sync_id, change.record_id as contact_id, change.list_id,
    lists.body ->> 'name' as list, change.was, change.became
from {schema}.ac_stored_changes as change
left join {schema}.ac_published as published
    on published.data_type = 'contacts' and published.sync_no = change.sync_no
left join {schema}.ac_dimensions as lists on lists.dimension = 'lists' and lists.id = change.list_id
where change.list_id is not null;

comment on table {schema}.ac_stored_tags is 'The rows of ac_contact_tags.';
comment on table {schema}.ac_stored_lists is 'The rows of ac_contact_lists.';
comment on table {schema}.ac_stored_changes is
    'The rows of ac_field_changes and ac_list_changes. They go with the versions of their sync.';
comment on view {schema}.ac_list_changes is
    'One row per contact and list on which a kept sync found another status, also of added and deleted contacts. The first sync changed nothing.';
comment on column {schema}.ac_list_changes.changed_at is 'Time of publishing';
comment on column {schema}.ac_list_changes.sync_id is 'Id of the sync, as in ac_sync_logs';
comment on column {schema}.ac_list_changes.contact_id is
    'Id of the contact in ActiveCampaign, as in ac_contacts unless it was deleted';
comment on column {schema}.ac_list_changes.list_id is 'Id of the list in ActiveCampaign, as in ac_lists';
comment on column {schema}.ac_list_changes.list is 'Last known name of the list. Two lists can have the same name.';
comment on column {schema}.ac_list_changes.was is 'Status before, as in ac_contact_lists, or null if the contact was not on the list';
comment on column {schema}.ac_list_changes.became is 'Status after, or null if the contact is no longer on the list';
