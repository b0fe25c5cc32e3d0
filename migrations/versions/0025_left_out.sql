-- The relations that a full sync was published without, which incremental syncs ask for.
alter table {schema}.ac_sync_logs
    add column contacts_left_out text[],
    add column deals_left_out text[];

-- Until now only the warning named them. Only contacts have relations.
update {schema}.ac_sync_logs
set contacts_left_out = (
    select string_to_array(
        split_part(split_part(warning, 'ActiveCampaign does not send ', 2), ' along with', 1), ' and '
    )
    from unnest(contacts_warnings) as warning
    where warning like 'ActiveCampaign does not send % along with the contacts:%' limit 1
)
where kind = 'full' and contacts_warnings <> '{}';

comment on column {schema}.ac_sync_logs.contacts_left_out is
    'Full syncs: tags or lists if ActiveCampaign did not send them along, so they stay as they were last known; null if all came';
comment on column {schema}.ac_sync_logs.deals_left_out is
    'Null: only contacts have tags and lists';
