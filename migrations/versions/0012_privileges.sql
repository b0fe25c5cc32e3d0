-- Some hosts grant the roles of their public API every right on all tables in `public`. These roles, and
-- PUBLIC, should never write here, so they lose every right except SELECT. Reading can be intended, so
-- `acsync check` only warns of it. Grants to other roles are kept, because `grant … on all tables` with
-- `alter default privileges`, the usual way to grant rights on purpose, looks the same.
do $privileges$
declare
    privilege record;
begin
    for privilege in
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
        execute format('revoke %s on %s from %s cascade', privilege.privilege_type, privilege.name, privilege.grantee);
    end loop;
end
$privileges$;

-- Comments, which tools show next to the names.
do $comments$
declare
    described record;
begin
    for described in
        select case when relkind = 'v' then 'view' else 'table' end as kind, relname, comment
        from (values
            ('ac_contacts', 'One row per published contact.'),
            ('ac_deals', 'One row per published deal.'),
            ('ac_contacts_wide', 'One row per published contact, with a typed column for each custom field.'),
            ('ac_deals_wide', 'One row per published deal, with a typed column for each custom field.'),
            ('ac_fields', 'One row per custom field and type, with the column of the wide view that shows it.'),
            ('ac_deal_stages', 'One row per stay of a deal in a stage and status, as the syncs saw it; kept permanently.'),
            ('ac_freshness', 'One row per dataset: how old the published data is.'),
            ('ac_changes', 'One row per record that a kept sync added, updated or deleted.'),
            ('ac_sync_data', 'One row per 1,000 published records, in id order, as a JSON array.'),
            ('ac_latest_sync', 'One row: the last finished sync.'),
            ('ac_sync_statistics', 'One row: the finished syncs of the last seven days.'),
            ('ac_sync_logs', 'One row per sync.')
        ) as comments (name, comment)
        join pg_class on relname = name and relnamespace = '{schema}'::regnamespace
    loop
        execute format('comment on %s {schema}.%I is %L', described.kind, described.relname, described.comment);
    end loop;
    for described in
        select relname, attname, comment
        from (values
            ('ac_contacts ac_contacts_wide', 'contact_id', 'Id of the contact in ActiveCampaign'),
            ('ac_contacts ac_contacts_wide', 'email', 'Email address as entered. lower(email) is indexed too.'),
            ('ac_contacts ac_contacts_wide', 'first_name', 'First name of the contact'),
            ('ac_contacts ac_contacts_wide', 'last_name', 'Last name of the contact'),
            ('ac_contacts ac_contacts_wide', 'phone', 'Phone number as entered'),
            ('ac_contacts', 'tags', 'Names of the contact''s tags, sorted. Names over 600 characters are cut here and whole in record.'),
            ('ac_contacts_wide', 'tags', 'Names of the contact''s tags, sorted. Names over 600 characters are cut here and whole in ac_contacts.record.'),
            ('ac_contacts ac_contacts_wide', 'lists', 'Lists of the contact: id, name, status, subscribedAt, unsubscribedAt'),
            ('ac_deals ac_deals_wide ac_deal_stages', 'deal_id', 'Id of the deal in ActiveCampaign'),
            ('ac_deals ac_deals_wide', 'title', 'Title of the deal'),
            ('ac_deals ac_deals_wide', 'value_minor', 'Value in the smallest unit of the currency, such as cents'),
            ('ac_deals ac_deals_wide', 'value', 'Value in whole units of the currency'),
            ('ac_deals ac_deals_wide', 'currency', 'Currency code in lower case, such as usd'),
            ('ac_deals ac_deals_wide ac_deal_stages', 'status', 'open, won or lost'),
            ('ac_deals ac_deals_wide ac_deal_stages', 'pipeline_id', 'Id of the pipeline in ActiveCampaign'),
            ('ac_deals ac_deals_wide ac_deal_stages', 'pipeline', 'Title of the pipeline'),
            ('ac_deals ac_deals_wide ac_deal_stages', 'stage_id', 'Id of the stage in ActiveCampaign'),
            ('ac_deals ac_deals_wide ac_deal_stages', 'stage', 'Title of the stage'),
            ('ac_deals ac_deals_wide', 'owner_id', 'Id of the owner in ActiveCampaign'),
            ('ac_deals ac_deals_wide', 'owner', 'First and last name of the owner, or the user name or email address if there is none'),
            ('ac_deals ac_deals_wide', 'contact_id', 'Id of the deal''s contact, as in ac_contacts'),
            ('ac_deals ac_deals_wide', 'is_masked', 'The user of the API key cannot see this deal. It keeps its last known content.'),
            ('ac_contacts ac_contacts_wide ac_deals ac_deals_wide', 'created_at', 'Time of creation in ActiveCampaign'),
            ('ac_contacts ac_contacts_wide ac_deals ac_deals_wide', 'updated_at', 'Time of the last change in ActiveCampaign'),
            ('ac_contacts ac_contacts_wide ac_deals ac_deals_wide ac_freshness ac_sync_data', 'synced_at', 'Time of publishing'),
            ('ac_contacts ac_deals', 'custom_fields', 'Values of custom fields by key'),
            ('ac_contacts ac_deals', 'record', 'The record as received, with joined data'),
            ('ac_changes', 'record', 'The new record, or the last one before it was deleted'),
            ('ac_changes', 'record_id', 'Id of the record in ActiveCampaign'),
            ('ac_changes', 'change', 'added, updated or deleted'),
            ('ac_changes', 'changed_at', 'Time of publishing'),
            ('ac_deal_stages', 'entered_at', 'Time of the sync that first saw the deal in this stage and status'),
            ('ac_deal_stages', 'left_at', 'Time of the sync that saw the deal elsewhere, or null while it stays'),
            ('ac_changes ac_fields ac_freshness ac_sync_data', 'data_type', 'contacts or deals'),
            ('ac_fields', 'field_id', 'Id of the field in ActiveCampaign'),
            ('ac_fields', 'key', 'Key in custom_fields'),
            ('ac_fields', 'title', 'Title of the field'),
            ('ac_fields', 'type', 'Type as ActiveCampaign names it'),
            ('ac_fields', 'options', 'Choices of the field'),
            ('ac_fields', 'column_name', 'Column of the wide view, or null if there are too many fields'),
            ('ac_fields', 'first_sync', 'First sync that listed the field'),
            ('ac_fields', 'last_sync', 'Last sync that listed the field'),
            ('ac_freshness', 'age', 'Time since read_from'),
            ('ac_freshness', 'is_fresh', 'Whether age is less than three intervals of 15 minutes'),
            ('ac_freshness', 'read_from', 'Time at which the oldest published record was read'),
            ('ac_freshness', 'verified_at', 'Start of the last full sync that was published'),
            ('ac_freshness ac_sync_data', 'record_count', 'Number of records'),
            ('ac_sync_data', 'id', 'Number of the row'),
            ('ac_sync_data', 'json_data', 'Up to 1,000 records'),
            ('ac_sync_data', 'sync_duration_ms', 'Duration of the sync in milliseconds'),
            ('ac_changes ac_freshness ac_latest_sync ac_sync_data ac_sync_logs', 'sync_id', 'Id of the sync, as in ac_sync_logs'),
            ('ac_latest_sync ac_sync_logs', 'timestamp', 'Start of the sync'),
            ('ac_latest_sync ac_sync_logs', 'total_duration_ms', 'Duration in milliseconds'),
            ('ac_latest_sync', 'duration_seconds', 'Duration in seconds'),
            ('ac_latest_sync', 'duration_minutes', 'Duration in minutes'),
            ('ac_latest_sync ac_sync_logs', 'contacts_success', 'Whether the contacts were published, or null if they were not synced'),
            ('ac_latest_sync ac_sync_logs', 'contacts_count', 'Number of published contacts'),
            ('ac_latest_sync ac_sync_logs', 'contacts_error', 'Why the contacts were not published'),
            ('ac_latest_sync ac_sync_logs', 'deals_success', 'Whether the deals were published, or null if they were not synced'),
            ('ac_latest_sync ac_sync_logs', 'deals_count', 'Number of published deals'),
            ('ac_latest_sync ac_sync_logs', 'deals_error', 'Why the deals were not published'),
            ('ac_latest_sync ac_sync_logs', 'overall_success', 'Whether all synced datasets were published'),
            ('ac_sync_statistics', 'total_syncs', 'Number of syncs'),
            ('ac_sync_statistics', 'successful_syncs', 'Number of syncs that published every dataset'),
            ('ac_sync_statistics', 'success_rate', 'Successful syncs in percent'),
            ('ac_sync_statistics', 'avg_duration_seconds', 'Average duration in seconds'),
            ('ac_sync_statistics', 'last_sync_time', 'Start of the last sync'),
            ('ac_sync_statistics', 'avg_contacts_count', 'Average number of published contacts'),
            ('ac_sync_statistics', 'avg_deals_count', 'Average number of published deals'),
            ('ac_sync_statistics', 'latest_contacts_count', 'Number of contacts that are published now'),
            ('ac_sync_statistics', 'latest_deals_count', 'Number of deals that are published now')
        ) as comments (relations, name, comment)
        join pg_class on relname = any (string_to_array(relations, ' ')) and relnamespace = '{schema}'::regnamespace
        join pg_attribute on attrelid = pg_class.oid and attname = name
    loop
        execute format(
            'comment on column {schema}.%I.%I is %L', described.relname, described.attname, described.comment);
    end loop;
end
$comments$;
