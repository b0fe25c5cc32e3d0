"""acsync beside the alternatives: the same account, the same Postgres, one after the other."""
