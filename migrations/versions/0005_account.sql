-- One schema holds one account: its host, noted by the first sync that publishes.
create table {schema}.ac_account (
    id integer primary key default 1 check (id = 1),
    host text not null,
    noted_at timestamptz not null default clock_timestamp()
);
