-- How far the sync is that holds the lease, renewed with it: staging is unlogged, and so not there on
-- a replica.
alter table {schema}.ac_lease add column progress jsonb;
