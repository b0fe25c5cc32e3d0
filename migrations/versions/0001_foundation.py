"""Lay the foundation: the log, the lease, the versions, the staging and the views."""

from migrations import run_sql_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0001_foundation.sql")
