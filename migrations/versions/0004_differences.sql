-- How many more records ActiveCampaign counts than were read, negative for fewer; null where a sync
-- did not come to count them. A difference that stays is the account's way of counting.
alter table {schema}.ac_sync_logs
    add column contacts_difference bigint,
    add column deals_difference bigint,
    alter column contacts_expected type bigint,
    alter column deals_expected type bigint;
