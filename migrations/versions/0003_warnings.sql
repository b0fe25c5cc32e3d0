-- What a person should know although the data was published: a sentence each.
alter table {schema}.ac_sync_logs
    add column contacts_warnings text[],
    add column deals_warnings text[];
