-- How a dataset is walked: without it the numbers of staged slices mean nothing. Unlogged like
-- them, so that a crash of the server empties all of them together.
create unlogged table {schema}.ac_staged_plans (
    data_type text primary key,
    sync_no bigint not null,
    basis text not null,
    plan jsonb not null,
    planned_at timestamptz not null
);
