"""Revoke write privileges of public API roles, and comment views and columns."""

from migrations import run_sql_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the SQL file of the same name."""
    run_sql_file("0012_privileges.sql")
