"""Take the privileges of other roles from the tables."""

from migrations import run_sql_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_sql_file("0012_privileges.sql")
