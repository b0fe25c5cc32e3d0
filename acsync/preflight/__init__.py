"""Checks before a sync: the account, the database, and samples for bug reports."""
