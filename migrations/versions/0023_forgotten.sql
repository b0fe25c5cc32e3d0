-- People whom `acsync forget` has removed: hashes of their ids and addresses, and the key of the hashes.

create table {schema}.ac_forgotten (
    hash bytea primary key,
    mark text not null check (mark in ('contact', 'address')),
    forgotten_at timestamptz not null default now(),
    last_listed_at timestamptz not null default now()
);

create table {schema}.ac_forgotten_key (
    id integer primary key default 1 check (id = 1),
    key bytea not null
);

comment on table {schema}.ac_forgotten is
    'One row per contact or address that acsync forget has removed. No sync copies it until ActiveCampaign has deleted it.';
comment on column {schema}.ac_forgotten.hash is
    'HMAC-SHA-256 of the id or the address, with the key of ac_forgotten_key';
comment on column {schema}.ac_forgotten.mark is 'contact: hash of an id; address: hash of an email address';
comment on column {schema}.ac_forgotten.forgotten_at is 'When the person was forgotten';
comment on column {schema}.ac_forgotten.last_listed_at is
    'When ActiveCampaign last listed the contact or one of its deals, to the hour. The row is deleted 31 days later.';
comment on table {schema}.ac_forgotten_key is
    'One row: the random key of the hashes in ac_forgotten. A reader of both can try ids and addresses.';
comment on column {schema}.ac_forgotten_key.id is 'Always 1';
comment on column {schema}.ac_forgotten_key.key is 'Made by the first acsync forget';
