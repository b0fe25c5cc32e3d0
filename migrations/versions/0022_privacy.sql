-- The privacy rules that everything kept meets. Without a row, nothing is left out or hashed.

create table {schema}.ac_privacy (
    data_type text primary key check (data_type in ('contacts', 'deals')),
    rules text[] not null default '{}',
    key_id text,
    named jsonb not null default '{}',
    hashed_with jsonb not null default '{}',
    held jsonb not null default '{}',
    accepted text[] not null default '{}',
    returning_keys text[] not null default '{}',
    returning_fields text[] not null default '{}',
    in_force_since timestamptz not null default now()
);

comment on table {schema}.ac_privacy is
    'One row per dataset with privacy rules: which ones all records and their history meet.';
comment on column {schema}.ac_privacy.data_type is 'contacts or deals';
comment on column {schema}.ac_privacy.rules is
    'The rules of ACSYNC_EXCLUDE, ACSYNC_HASH and ACSYNC_NEW_FIELDS in force';
comment on column {schema}.ac_privacy.key_id is
    'Tells apart the keys of ACSYNC_HASH_KEY; the key itself is not stored';
comment on column {schema}.ac_privacy.named is
    'The ids of the custom fields that the rules have named so far, by key';
comment on column {schema}.ac_privacy.hashed_with is
    'The key_id with which the values of each field were last hashed';
comment on column {schema}.ac_privacy.held is
    'The custom fields that the last full sync held, by id: key and title';
comment on column {schema}.ac_privacy.accepted is
    'The ids of the held custom fields that acsync migrate --accept-fields has named';
comment on column {schema}.ac_privacy.returning_keys is
    'Keys of records that the next full sync reads again, because a rule was removed';
comment on column {schema}.ac_privacy.returning_fields is
    'Ids of custom fields that the next full sync reads again, because a rule was removed';
comment on column {schema}.ac_privacy.in_force_since is 'When these rules came into force';
