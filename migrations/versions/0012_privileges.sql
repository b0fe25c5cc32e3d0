-- Hosts have granted every right on whatever is made in `public` to the roles of their public API.
-- Nobody can mean these roles, or everybody, to write here, so they lose every right but reading.
-- Reading may be on purpose: `acsync check` warns of it. Grants to other roles stay: the usual way
-- to grant them, `grant … on all tables` with `alter default privileges`, looks the same.
do $privileges$
declare
    held record;
begin
    for held in
        select privilege_type, name,
            case grantee when 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end as grantee
        from (
            select relacl as acl, oid::regclass::text as name
            from pg_class
            where relnamespace = '{schema}'::regnamespace and relname in (
                'ac_account', 'ac_contact_versions', 'ac_deal_stages', 'ac_deal_versions', 'ac_field_columns',
                'ac_lease', 'ac_published', 'ac_schema_revision', 'ac_staged_contacts', 'ac_staged_deals',
                'ac_staged_plans', 'ac_staged_slices', 'ac_sync_logs', 'ac_wide_views',
                'ac_field_columns_position_seq', 'ac_sync_logs_id_seq',
                'ac_changes', 'ac_contacts', 'ac_contacts_wide', 'ac_deals', 'ac_deals_wide', 'ac_fields',
                'ac_freshness', 'ac_latest_sync', 'ac_sync_data', 'ac_sync_statistics'
            )
            union all
            select proacl, 'function ' || oid::regprocedure::text
            from pg_proc
            where pronamespace = '{schema}'::regnamespace and proname = 'ac_update_wide_view'
        ) as objects, aclexplode(acl)
        where privilege_type <> 'SELECT'
          and (grantee = 0 or pg_get_userbyid(grantee) in ('anon', 'authenticated'))
    loop
        execute format('revoke %s on %s from %s cascade', held.privilege_type, held.name, held.grantee);
    end loop;
end
$privileges$;
