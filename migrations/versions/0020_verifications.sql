-- The last result of `acsync verify`: counts only, never values.

create table {schema}.ac_verifications (
    data_type text primary key check (data_type in ('contacts', 'deals')),
    verified_at timestamptz not null,
    sampled integer not null,
    equal integer not null,
    changed integer not null,
    deleted integer not null,
    masked integer not null,
    undecided integer not null,
    different integer not null
);

comment on table {schema}.ac_verifications is
    'One row per dataset: how its random records compared with ActiveCampaign in the last acsync verify.';
comment on column {schema}.ac_verifications.data_type is 'contacts or deals';
comment on column {schema}.ac_verifications.verified_at is 'When the last record was compared';
comment on column {schema}.ac_verifications.sampled is 'Records that were read singly: the sum of the following counts';
comment on column {schema}.ac_verifications.equal is 'Records that are equal, key by key';
comment on column {schema}.ac_verifications.changed is 'Records that changed in ActiveCampaign after they were copied';
comment on column {schema}.ac_verifications.deleted is 'Records that were deleted in ActiveCampaign after they were copied';
comment on column {schema}.ac_verifications.masked is 'Deals that the key''s user cannot see, with their last known content';
comment on column {schema}.ac_verifications.undecided is 'Records that differ, and may have changed since';
comment on column {schema}.ac_verifications.different is 'Records of which the copy is wrong';
