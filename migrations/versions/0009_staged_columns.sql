-- Publishing unpacked and compressed every record again, for the generated columns: 20 s for a first
-- sync of 157,000 records. They are generated where records are staged, while the sync waits for
-- the account, and publishing copies them as they are.

drop table {schema}.ac_staged_records;
-- Whatever was staged has lost its records.
truncate {schema}.ac_staged_slices, {schema}.ac_staged_plans;

create unlogged table {schema}.ac_staged_contacts (
    like {schema}.ac_contact_versions including generated, slice_no integer not null
) with (toast_tuple_target = 1024);
create unlogged table {schema}.ac_staged_deals (
    like {schema}.ac_deal_versions including generated, slice_no integer not null
) with (toast_tuple_target = 1024);

do $columns$
declare
    named text;
begin
    foreach named in array array['ac_staged_contacts', 'ac_staged_deals'] loop
        execute format('alter table {schema}.%I rename column valid_from to sync_no', named);
        execute format('alter table {schema}.%I drop column valid_to', named);
        execute format('create index on {schema}.%I (sync_no, slice_no)', named);
    end loop;
    for named in
        select format('alter table %s alter column %I drop expression', attrelid::regclass, attname)
        from pg_attribute
        where attgenerated = 's' and attrelid in (
            '{schema}.ac_contact_versions'::regclass, '{schema}.ac_deal_versions'::regclass
        )
    loop
        execute named;
    end loop;
end
$columns$;
