-- How many more records ActiveCampaign counts than were read, negative for fewer; null where a sync
-- did not come to count them. A difference that stays is the account's way of counting.
alter table {schema}.ac_sync_logs
    add column contacts_difference bigint,
    add column deals_difference bigint,
    -- The calls per second at the end, and the seconds since a rate was refused: the next sync
    -- begins with them.
    add column pace jsonb,
    alter column contacts_expected type bigint,
    alter column deals_expected type bigint;
