"""Try acsync on one machine: embedded Postgres, processes, `up` and `demo`."""
