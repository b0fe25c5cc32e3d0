"""All SQL: staging, publishing, history and the sync log, in one schema of one Postgres."""
